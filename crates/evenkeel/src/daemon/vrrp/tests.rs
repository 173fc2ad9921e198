use super::*;

#[test]
fn a_thread_that_panics_is_told_of_and_one_that_ends_is_not() {
    for (panics, told) in [(true, true), (false, false)] {
        let (sender, mut news) = mpsc::channel(1);
        let obituary = Obituary(sender);
        let thread = std::thread::spawn(move || {
            let _obituary = obituary;
            assert!(!panics, "on purpose");
        });
        assert_eq!(thread.join().is_err(), panics);
        assert_eq!(matches!(news.try_recv(), Ok(News::Died)), told);
    }
}
