//! Create, Update, Delete.

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    let world = World::new("standalone").await;
    let mut stack = world.created(&[]).await;
    println!("{:#?}", stack.outputs().await.unwrap());
    println!("{:#?}", stack.resources().await.unwrap());
    println!("{:#?}", world.emulator.front().calls().all().iter().map(crate::world::describe).collect::<Vec<_>>());
    println!("{:#?}", world.vendor.notices().iter().map(|n| n.redacted()).collect::<Vec<_>>());
    world.deleted(&mut stack).await;
    println!("{}", world.emulator.handler_log());
    println!("{}", world.emulator.log());
    world.assert_no_leaks();
}
