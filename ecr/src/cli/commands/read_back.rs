//! Reads updated repositories again. AWS accepts some writes that a setting of the registry overrides: such a change has no
//! effect. It is reported as blocked and recorded, so that later plans do not try it again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::create::failed;
use super::session::Session;
use crate::aws::{Reads, ServiceError};
use crate::cli::report::{CreateOutcome, CreateResult};
use crate::config::desired::DesiredRepository;
use crate::plan::{IgnoredWrite, RepositoryPlan, Step};

/// A repository with the plan that was applied and its result.
pub type Applied = (RepositoryPlan, CreateResult);

/// The time between two reads, after which a change that AWS shows late is there.
const PAUSE: Duration = Duration::from_millis(500);

/// The writes that seem to have no effect, by the position of their repositories.
type Unchanged = BTreeMap<usize, Vec<IgnoredWrite>>;

/// Whether a repository is read again after its update.
pub fn is_checked((plan, result): &Applied) -> bool {
    result.outcome == CreateOutcome::Updated && plan.steps.iter().any(Step::is_read_back)
}

/// Reads the updated repositories, and blocks the changes without effect. A change counts as one of these after two reads
/// that agree, a second write, and two reads more: a proxy may have answered once in place of AWS.
pub async fn check(session: &Session<'_>, desired: &[DesiredRepository], applied: &mut [Applied]) {
    let unchanged = unchanged_twice(session, desired, applied).await;
    if unchanged.is_empty() {
        return;
    }
    for (at, writes) in unchanged {
        if let Some(applied) = applied.get_mut(at) {
            write_again(session, applied, &writes).await;
        }
    }
    for (at, writes) in unchanged_twice(session, desired, applied).await {
        if let Some((_, result)) = applied.get_mut(at) {
            block(session, result, &writes);
        }
    }
}

/// The changes that two reads do not show. If the second one fails, it is unknown whether there is a change.
async fn unchanged_twice(
    session: &Session<'_>,
    desired: &[DesiredRepository],
    applied: &mut [Applied],
) -> Unchanged {
    // A failure to read proves nothing: AWS has confirmed the writes themselves.
    let first = unchanged(session, desired, applied).await.unwrap_or_default();
    if first.is_empty() {
        return first;
    }
    tokio::time::sleep(PAUSE).await;
    let second = match unchanged(session, desired, applied).await {
        Ok(second) => second,
        Err(error) => {
            for at in first.keys() {
                fail(applied.get_mut(*at), &error);
            }
            return Unchanged::new();
        }
    };
    let agree = |(at, mut writes): (usize, Vec<IgnoredWrite>)| {
        writes.retain(|it| first.get(&at).is_some_and(|first| first.contains(it)));
        (!writes.is_empty()).then_some((at, writes))
    };
    second.into_iter().filter_map(agree).collect()
}

/// Reads the repositories once.
async fn unchanged(
    session: &Session<'_>,
    desired: &[DesiredRepository],
    applied: &[Applied],
) -> Result<Unchanged, ServiceError> {
    let checked: Vec<_> = applied.iter().enumerate().filter(|(_, it)| is_checked(it)).collect();
    let names: Vec<_> = checked.iter().map(|(_, (plan, _))| plan.name.clone()).collect();
    if names.is_empty() {
        return Ok(Unchanged::new());
    }
    let (observed, failures) = session.aws.observe(&names, |_| Reads::default()).await?;
    if let Some(error) = failures.into_values().next() {
        return Err(error);
    }
    let desired: Vec<_> = desired.iter().filter(|it| names.contains(&it.name)).cloned().collect();
    let again = crate::plan::plan(&desired, None, &observed);
    let of_repository = |(at, (plan, result)): (usize, &Applied)| {
        let again = again.repositories.iter().find(|it| it.name == plan.name)?;
        let mut writes = IgnoredWrite::find(plan, again, result.arn.as_deref().unwrap_or_default());
        // A change that was denied is reported as a missing permission.
        writes.retain(|it| !result.denied.contains(&it.field));
        (!writes.is_empty()).then_some((at, writes))
    };
    Ok(checked.into_iter().filter_map(of_repository).collect())
}

async fn write_again(session: &Session<'_>, applied: &mut Applied, writes: &[IgnoredWrite]) {
    let is_unchanged = |step: &&Step| writes.iter().any(|it| step.field == Some(it.field.as_str()));
    let steps: Vec<_> = applied.0.steps.iter().filter(is_unchanged).cloned().collect();
    for step in steps {
        if let Err(error) = session.aws.apply(&applied.0.name, &step.action).await {
            return fail(Some(applied), &error);
        }
    }
}

fn fail(applied: Option<&mut Applied>, error: &ServiceError) {
    if let Some((_, result)) = applied {
        *result = failed(result.arn.clone().zip(result.uri.clone()), error);
    }
}

fn block(session: &Session<'_>, result: &mut CreateResult, writes: &[IgnoredWrite]) {
    let fields = writes.iter().map(|it| it.field.as_str()).collect::<Vec<_>>().join(", ");
    result.outcome = CreateOutcome::Blocked;
    result.error = Some(format!("AWS accepted the change of {fields}, but it had no effect"));
    if let Err(error) = session.ignored_writes().add(writes) {
        session.shell.warn(format!("failed to record the change without effect: {error}"));
    }
}
