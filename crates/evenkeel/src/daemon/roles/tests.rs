use super::*;

#[test]
fn what_was_configured_is_looked_at_now_and_soon_again_and_then_now_and_then() {
    let mut roles = Roles::new();
    assert_eq!(roles.look_at(), None);
    let mut now = Instant::now();
    for _ in 0..2 {
        roles.look_soon(now);
        assert_eq!(roles.look_at(), Some(now));
        for wait in [LOOK_AGAIN, LOOK_EVERY, LOOK_EVERY] {
            roles.looks(now);
            assert_eq!(roles.look_at(), Some(now + wait));
            now += wait;
        }
    }
}

#[tokio::test]
async fn a_look_that_goes_on_is_known() {
    let router = VirtualRouterId::try_from(7).expect("in range");
    let mut roles = Roles::new();
    assert!(!roles.is_looking(router));
    let (end, ends) = tokio::sync::oneshot::channel::<()>();
    let look = tokio::spawn(async move { drop(ends.await) });
    roles.looking.insert(router, look);
    assert!(roles.is_looking(router));
    drop(end);
    while roles.is_looking(router) {
        tokio::task::yield_now().await;
    }
}
