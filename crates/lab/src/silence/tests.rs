use super::*;

fn at(start: Instant, millis: &[u64]) -> Vec<Instant> {
    let moment = |count: &u64| start + Duration::from_millis(*count);
    millis.iter().map(moment).collect()
}

#[test]
fn the_longest_silence_is_between_answers_and_the_ends_of_its_time() {
    let start = Instant::now();
    for (answers, began, length) in [
        (&[1, 2, 3, 50, 99][..], 50, 49),
        (&[], 0, 100),
        (&[80], 0, 80),
        (&[20], 20, 80),
        // Answers outside of the time break no silence and make none.
        (&[50, 400], 0, 50),
        // Answers come in any order.
        (&[60, 30, 90], 0, 30),
    ] {
        let [from, to] = [start, start + Duration::from_millis(100)];
        let silence = longest_silence(at(start, answers), from, to);
        assert_eq!(silence.length, Duration::from_millis(length), "{answers:?}");
        assert_eq!(silence.began - start, Duration::from_millis(began));
    }
}

#[test]
fn a_time_that_ends_before_it_begins_has_no_silence() {
    let start = Instant::now() + Duration::from_secs(1);
    let silence = longest_silence([start], start, start - Duration::from_millis(5));
    assert_eq!(silence.length, Duration::ZERO);
}
