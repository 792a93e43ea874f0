//! The vendor refuses, is down, redirects, or is slow.

use std::time::Duration;

use hawser_dev::vendor::Script;

use crate::world::Testbed;

/// Creates a stack that must fail, and leave nothing; returns the reason.
async fn refused(world: &Testbed) -> String {
    let (_, outcome) = world.create(&[]).await;
    assert_eq!(outcome.status, "ROLLBACK_COMPLETE", "{}", outcome.first_failure());
    assert!(outcome.event("Connection", "CREATE_FAILED").is_some());
    // CloudFormation deletes what it could not create, with the id of the FAILED answer (F-1, F-34).
    assert!(outcome.event("Connection", "DELETE_COMPLETE").is_some());
    assert_eq!(world.report_names().await, Vec::<String>::new(), "the rollback left a report");
    assert_eq!(world.buckets().await, Vec::<String>::new(), "the rollback left a bucket");
    world.assert_no_leaks();
    outcome.first_failure().to_owned()
}

/// HW-C4, F-6: the vendor's own words are in the stack event.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_fails_the_stack_with_the_vendors_words() {
    let world = Testbed::new("standalone").await;
    let detail = "This launch link was made for another account. Ask for a new one at support@vendor.example.";
    world.vendor.set_script(Script::Refuse { status: 422, detail: detail.into() });
    let reason = refused(&world).await;
    assert!(reason.contains("VENDOR_REFUSED") && reason.contains(detail), "{reason}");
    let kinds: Vec<String> = world.vendor.notices().iter().map(|notice| notice.kind().to_owned()).collect();
    assert_eq!(kinds[0], "hawser.connection.established");
    assert!(!kinds[1..].contains(&"hawser.connection.established".to_owned()), "a refusal was retried: {kinds:?}");
}

/// HW-C4: down: retried within the function's time, with the same id each time, and then said.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_is_down_fails_the_stack() {
    let world = Testbed::with_little_time().await;
    world.vendor.set_script(Script::Status(503));
    let reason = refused(&world).await;
    assert!(reason.contains("VENDOR_UNREACHABLE"), "{reason}");
    let notices = world.vendor.notices();
    let established: Vec<_> = notices.iter().filter(|notice| notice.kind() == "hawser.connection.established").collect();
    assert!(established.len() > 1, "not retried");
    assert!(established.iter().all(|notice| notice.event["id"] == established[0].event["id"]), "the id changed");
}

/// Nobody listens at the address.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_is_not_there_fails_the_stack() {
    let mut world = Testbed::with_little_time().await;
    let unused = hawser_dev::strict_proxy::listen().await.unwrap().local_addr().unwrap();
    world.parameters.insert("NoticeUrl".into(), format!("https://localhost:{}/notices", unused.port()));
    let reason = refused(&world).await;
    assert!(reason.contains("VENDOR_UNREACHABLE"), "{reason}");
}

/// HW-C1: a redirect is never followed: the notice is for the address in the template.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let world = Testbed::new("standalone").await;
    world.vendor.set_script(Script::Redirect(world.vendor.notice_url()));
    let reason = refused(&world).await;
    assert!(reason.contains("VENDOR_REDIRECTED"), "{reason}");
    let count = world.vendor.notices().iter().filter(|notice| notice.kind() == "hawser.connection.established").count();
    assert_eq!(count, 1);
}

/// HW-C1: a certificate that no trusted authority signed is refused, though the vendor would accept.
#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_certificate_is_refused() {
    let mut world = Testbed::with_little_time().await;
    let folder = tempfile::tempdir().unwrap();
    let others = hawser_dev::certs::Certificates::make(folder.path(), world.emulator.certificates().host).unwrap();
    let stranger = hawser_dev::vendor::ScriptedVendor::start(&others, Script::Accept).await.unwrap();
    world.parameters.insert("NoticeUrl".into(), stranger.notice_url());
    let reason = refused(&world).await;
    assert!(reason.contains("VENDOR_CERTIFICATE_INVALID"), "{reason}");
    assert!(stranger.notices().is_empty());
}

/// Slow, but within the time: the stack waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_vendor_is_waited_for() {
    let world = Testbed::new("standalone").await;
    world.vendor.set_script(Script::Slow(Duration::from_secs(3)));
    let stack = world.created(&[]).await;
    assert_eq!(stack.outputs().await.unwrap()["ConnectionId"], "con-1");
}

/// HW-C5, F-28: whatever the vendor answers to the end of a connection, the customer can remove the stack.
#[tokio::test(flavor = "multi_thread")]
async fn no_vendor_keeps_a_customer_from_deleting() {
    for script in [Script::Status(404), Script::Refuse { status: 403, detail: "no".into() }, Script::Status(503)] {
        let world = Testbed::with_little_time().await;
        let mut stack = world.created(&[]).await;
        world.vendor.set_script(script.clone());
        world.deleted(&mut stack).await;
        assert_eq!(world.report_names().await, Vec::<String>::new(), "{script:?}");
    }
}
