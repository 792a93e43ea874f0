//! HW-L5, HW-A5, HW-C4, F-44: a call, a notice or an upload that goes wrong once does not keep a stack from succeeding.

use hawser_dev::strict_proxy::scenario::FaultAnswer::{Lost, Reset, ServerError, Throttle, Truncate};

use crate::lives::{Step, clean, each, fault_cases, run_all};

/// Mostly waiting: for the tries after the first.
const LANES: usize = 3;

/// Each call of a create, an update and a delete, each notice and each upload: done, but the answer is lost or cut off; or not
/// done, because the connection is reset; or refused for the moment.
#[tokio::test(flavor = "multi_thread")]
async fn one_fault_is_recovered_from() {
    let (lane, clean) = clean("CostAndUsageReport").await;
    let (all, some) = ([Lost, Truncate, Reset], [Lost]);
    let mut create = each(&clean.create, &all);
    create.extend(each(&clean.create[..1], &[Throttle, ServerError]));
    let fault_cases = fault_cases(create, each(&clean.update, &some), each(&clean.delete, &some));
    run_all("faults::", lane, clean, fault_cases, LANES).await;
}

/// The same of an export: most of its calls have no idempotency token, so an answer that is lost must not be asked for twice.
#[tokio::test(flavor = "multi_thread")]
async fn one_fault_of_an_export_is_recovered_from() {
    let (lane, clean) = clean("CostAndUsageReport2").await;
    let exports = |steps: &[Step]| steps.iter().filter(|step| step.0 == "bcm-data-exports").cloned().collect::<Vec<_>>();
    let some = [Lost];
    let (create, update, mut delete) = (exports(&clean.create), exports(&clean.update), exports(&clean.delete));
    // How often a Delete looks for the twin of a new export depends on the time that passed: the first look is the one that each has.
    let of = |steps: &[Step], operation: &str| steps.iter().filter(|step| step.1 == operation).count();
    let tags_at_once = of(&delete, "ListTagsForResource") / of(&delete, "ListExports").max(1);
    delete.retain(|(_, operation, nth)| match operation.as_str() {
        "ListExports" => *nth == 1,
        "ListTagsForResource" => *nth <= tags_at_once,
        _ => true,
    });
    let fault_cases = fault_cases(each(&create, &some), each(&update, &some), each(&delete, &some));
    run_all("faults::", lane, clean, fault_cases, LANES).await;
}
