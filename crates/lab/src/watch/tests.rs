use super::*;

const ONE: Mac = [2, 0, 0, 0, 0, 1];
const OTHER: Mac = [2, 0, 0, 0, 0, 2];
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

fn answers(begin: Instant, list: &[(Mac, std::ops::Range<u64>)]) -> Record {
    let answers = list.iter().flat_map(|(mac, range)| {
        range.clone().step_by(5).map(|ms| Sighting {
            at: begin + Duration::from_millis(ms),
            mac: *mac,
            said: Said::Answer(ADDRESS),
        })
    });
    Record(answers.collect())
}

#[test]
fn both_answer_from_the_first_answer_of_the_later_to_the_last_of_the_earlier() {
    let begin = Instant::now();
    let ms = Duration::from_millis;
    let cases = [
        (vec![(ONE, 0..500), (OTHER, 500..900)], 0),
        (vec![(ONE, 0..500), (OTHER, 400..900)], 95),
        (vec![(ONE, 0..900), (OTHER, 400..500)], 95),
        // A pause ends a period, of whomever.
        (
            vec![(ONE, 0..900), (OTHER, 100..200), (OTHER, 300..450)],
            145,
        ),
        (vec![(ONE, 0..200), (ONE, 300..400), (OTHER, 0..400)], 195),
        (vec![(ONE, 0..200)], 0),
    ];
    for (list, expected) in cases {
        let record = answers(begin, &list);
        assert_eq!(
            record.both_answered(ADDRESS, ONE, OTHER),
            ms(expected),
            "{list:?}"
        );
        assert_eq!(
            record.both_answered(ADDRESS, OTHER, ONE),
            ms(expected),
            "{list:?}"
        );
    }
    let late = answers(begin, &[(ONE, 0..500), (OTHER, 0..900)]).since(begin + ms(400));
    assert_eq!(late.both_answered(ADDRESS, ONE, OTHER), ms(95));
}

#[test]
fn questions_are_understood_as_arp_and_not_taken_for_answers() {
    let question = question(ADDRESS);
    assert_eq!(question.len(), 42);
    assert_eq!(parse(&question, CLIENT), None);
    let mut answer = question.clone();
    answer[0..6].copy_from_slice(&ASKER_MAC);
    answer[6..12].copy_from_slice(&ONE);
    answer[20..22].copy_from_slice(&[0, 2]);
    answer[28..32].copy_from_slice(&ADDRESS.octets());
    answer[38..42].copy_from_slice(&ASKER.octets());
    assert_eq!(parse(&answer, CLIENT), Some((ONE, Said::Answer(ADDRESS))));
    answer[38..42].copy_from_slice(&ADDRESS.octets());
    assert_eq!(
        parse(&answer, CLIENT),
        Some((ONE, Said::Announcement(ADDRESS)))
    );
    for length in 0..answer.len() {
        assert_eq!(parse(&answer[..length], CLIENT), None);
    }
}
