//! `ecr create`: brings every repository to the desired state.

use ecr_lifecycle::in_use::InUse;
use ecr_types::RepositoryName;
use ecr_types::error::one_line;
use ecr_types::human::counted;
use futures_util::stream::{self, StreamExt};

use super::expiry;
use super::session::{Observation, Session, names_lifecycle};
use crate::aws::{Applied, Reads, ServiceError};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{
    CreateOutcome, CreateReport, CreateResult, CreatedRepository, Header, RepositoryReport,
};
use crate::cli::shell::Shell;
use crate::config::desired::DesiredRepository;
use crate::plan::observed::Observed;
use crate::plan::{IgnoredWrite, Plan, RepositoryPlan, RepositoryState, Step};

/// Creates what is absent and repairs what differs.
pub async fn run(flags: &flags::Create, shell: &Shell) -> Result<Exit, Failure> {
    let (session, desired, mut observation) =
        Session::open_and_observe(shell, &flags.common, names_lifecycle).await?;
    let header = session.begin(&observation.0).await?;
    let in_use = expiry::in_use(&session, flags.in_use.as_deref())?;
    let plan = agreed(&session, &desired, &mut observation, &in_use, flags.yes).await?;
    let created = converge(&session, &desired, plan, observation).await;
    report_end(&session, &header, &created);
    let exit = created.exit();
    shell.json(&CreateReport {
        header,
        repositories: created.reports,
        orphans: (),
        summary: created.plan.summary(),
    });
    Ok(exit)
}

/// What `create` did.
pub struct Created {
    /// The plan that it followed.
    pub plan: Plan,
    /// One entry a repository.
    pub reports: Vec<CreatedRepository>,
    /// The registry's host, as the API returns it.
    pub host: Option<String>,
}

impl Created {
    /// The exit code: a blocked repository is a failure, a foreign one a refusal.
    pub fn exit(&self) -> Exit {
        let outcomes = self.reports.iter().map(|it| it.result.outcome);
        Exit::of_parts(outcomes.map(|it| match it {
            CreateOutcome::Created | CreateOutcome::Updated | CreateOutcome::Unchanged => Exit::Done,
            CreateOutcome::Refused => Exit::Refused,
            CreateOutcome::Blocked | CreateOutcome::Failed => Exit::Failed,
        }))
    }

    fn count(&self, wanted: CreateOutcome) -> usize {
        self.reports.iter().filter(|it| it.result.outcome == wanted).count()
    }
}

/// The plan, once everybody agrees to what its lifecycle policies would take.
pub async fn agreed(
    session: &Session<'_>,
    desired: &[DesiredRepository],
    (observed, failures): &mut Observation,
    in_use: &InUse,
    yes: bool,
) -> Result<Plan, Failure> {
    let mut plan = session.plan(desired, observed);
    plan.block_unread(|it| failures.contains_key(&it.name));
    // What cannot be weighed is not written; the other repositories go on.
    failures.extend(expiry::estimate_impact(session, &mut plan, in_use).await);
    plan.block_unread(|it| failures.contains_key(&it.name));
    expiry::consent(session, &plan, yes).await?;
    Ok(plan)
}

/// Applies a plan, repositories side by side, and tells what becomes of each.
pub async fn converge(
    session: &Session<'_>,
    desired: &[DesiredRepository],
    plan: Plan,
    (observed, failures): Observation,
) -> Created {
    let applied = plan.repositories.iter().map(|it| async {
        let applied = match failures.get(&it.name) {
            Some(error) => (it.clone(), failed(None, error)),
            None => apply(session, it, desired, &observed).await,
        };
        tell(session.shell, &applied.0, &applied.1);
        applied
    });
    let concurrency = session.aws_concurrency();
    let mut applied: Vec<(RepositoryPlan, CreateResult)> =
        stream::iter(applied).buffered(concurrency).collect().await;
    read_back(session, desired, &mut applied).await;
    session.warn_of_denials();
    let uris = applied.iter().filter_map(|(_, it)| it.uri.as_deref());
    let host = uris.filter_map(|it| it.split_once('/')).map(|(host, _)| host.to_owned()).next();
    for uri in applied.iter_mut().filter_map(|(_, it)| it.uri.as_mut()) {
        *uri = session.shown(uri);
    }
    // A plan that was made anew, after a race was lost, is the one that is told.
    let repositories = applied.iter().map(|(plan, _)| plan.clone()).collect();
    let report = |(plan, result): (RepositoryPlan, CreateResult)| CreatedRepository {
        plan: RepositoryReport::from(&plan),
        result,
    };
    let reports = applied.into_iter().map(report).collect();
    Created { plan: Plan { repositories }, reports, host }
}

/// AWS takes some writes that a setting of the registry overrules: what was changed is looked at once more, and
/// what reads back as it was is told, and remembered.
async fn read_back(
    session: &Session<'_>,
    desired: &[DesiredRepository],
    applied: &mut [(RepositoryPlan, CreateResult)],
) {
    let is_updated = |(plan, result): &(RepositoryPlan, CreateResult)| {
        result.outcome == CreateOutcome::Updated && plan.steps.iter().any(Step::is_read_back)
    };
    let changed = |name: &RepositoryName| applied.iter().any(|it| it.0.name == *name && is_updated(it));
    let desired: Vec<_> = desired.iter().filter(|it| changed(&it.name)).cloned().collect();
    if desired.is_empty() {
        return;
    }
    let names: Vec<_> = desired.iter().map(|it| it.name.clone()).collect();
    // A look that fails proves nothing; the writes themselves went well.
    let Ok((observed, _)) = session.aws.observe(&names, |_| Reads::default()).await else { return };
    let again = crate::plan::plan(&desired, None, &observed);
    for again in &again.repositories {
        let of_name = applied.iter_mut().find(|(plan, _)| plan.name == again.name);
        let Some((plan, result)) = of_name else { continue };
        let arn = result.arn.clone().unwrap_or_default();
        let mut found = IgnoredWrite::find(plan, again, &arn);
        // What may not be written is told as that.
        found.retain(|it| !result.denied.contains(&it.field));
        if found.is_empty() {
            continue;
        }
        let fields = found.iter().map(|it| it.field.as_str()).collect::<Vec<_>>().join(", ");
        result.outcome = CreateOutcome::Blocked;
        result.error = Some(format!("AWS took the change of {fields}, and it reads back as it was"));
        tell(session.shell, plan, result);
        if let Err(error) = session.ignored_writes().add(&found) {
            session.shell.warn(format!("failed to remember that: {error}"));
        }
    }
}

/// Makes the writes of a plan; the plan comes back with the result, as it may have been made anew.
async fn apply(
    session: &Session<'_>,
    plan: &RepositoryPlan,
    desired: &[DesiredRepository],
    observed: &Observed,
) -> (RepositoryPlan, CreateResult) {
    let done = |result| (plan.clone(), result);
    let found = observed.repositories.get(&plan.name);
    let mut target = found.map(|it| (it.arn.clone(), it.uri.clone()));
    if let RepositoryState::Foreign(owner) = &plan.state {
        let error = Some(format!("it belongs to project `{owner}`"));
        return done(result(CreateOutcome::Refused, target, error));
    }
    let mut outcome = CreateOutcome::Unchanged;
    let mut denied = Vec::new();
    for step in &plan.steps {
        match session.aws.apply(&plan.name, &step.action).await {
            Ok(Applied::Created { arn, uri }) => {
                target = Some((arn, uri));
                outcome = CreateOutcome::Created;
            }
            Ok(Applied::Done) if outcome == CreateOutcome::Unchanged => outcome = CreateOutcome::Updated,
            Ok(Applied::Done) => {}
            Ok(Applied::Denied) => denied.extend(step.field.map(str::to_owned)),
            // Another run was faster: look at what it made, and go on from there.
            Ok(Applied::AlreadyExists) => return Box::pin(again(session, plan, desired)).await,
            Err(error) => return done(failed(target, &error)),
        }
    }
    let error = plan.blocked.first().map(|first| {
        let fields: Vec<_> = plan.blocked.iter().map(|it| it.field).collect();
        format!("{} cannot be changed: {}", fields.join(", "), first.help)
    });
    let outcome = if error.is_some() { CreateOutcome::Blocked } else { outcome };
    done(CreateResult { denied, ..result(outcome, target, error) })
}

async fn again(
    session: &Session<'_>,
    before: &RepositoryPlan,
    desired: &[DesiredRepository],
) -> (RepositoryPlan, CreateResult) {
    let desired: Vec<_> = desired.iter().filter(|it| it.name == before.name).cloned().collect();
    let failed_with = |error: String| (before.clone(), result(CreateOutcome::Failed, None, Some(error)));
    let (observed, failures) = match session.observe(&desired).await {
        Ok(observation) => observation,
        Err(error) => return failed_with(one_line(&error)),
    };
    if let Some(error) = failures.get(&before.name) {
        return (before.clone(), failed(None, error));
    }
    let plan = session.plan(&desired, &observed);
    match plan.repositories.first() {
        Some(plan) if plan.state != RepositoryState::Absent => {
            apply(session, plan, &desired, &observed).await
        }
        _ => failed_with("it is created and deleted by somebody else".to_owned()),
    }
}

fn failed(target: Option<(String, String)>, error: &ServiceError) -> CreateResult {
    let help = error.help().map(str::to_owned);
    CreateResult { help, ..result(CreateOutcome::Failed, target, Some(error.to_string())) }
}

fn result(outcome: CreateOutcome, target: Option<(String, String)>, error: Option<String>) -> CreateResult {
    let (arn, uri) = target.unzip();
    CreateResult { outcome, uri, arn, error, help: None, denied: Vec::new() }
}

fn tell(shell: &Shell, plan: &RepositoryPlan, result: &CreateResult) {
    let name = &plan.name;
    let error = result.error.as_deref().unwrap_or_default();
    match result.outcome {
        CreateOutcome::Created => shell.status("Created", name),
        CreateOutcome::Updated => {
            let fields = plan.steps.iter().filter_map(|it| it.field);
            let fields = fields.filter(|it| !result.denied.iter().any(|denied| denied == it));
            let fields: Vec<_> = fields.collect();
            shell.status("Updated", format!("{name} ({})", fields.join(", ")));
        }
        CreateOutcome::Unchanged => shell.status("Unchanged", name),
        CreateOutcome::Blocked => shell.bad_status("Blocked", format!("{name}: {error}")),
        CreateOutcome::Refused => shell.bad_status("Refused", format!("{name}: {error}")),
        CreateOutcome::Failed => shell.bad_status("Failed", format!("{name}: {error}")),
    }
    result.help.iter().for_each(|it| shell.help(it));
}

/// As the seed's script does: the registry, how to log in, and what to type next.
fn report_end(session: &Session<'_>, header: &Header, created: &Created) {
    let shell = session.shell;
    let is_good = |it: &&CreateResult| !matches!(it.outcome, CreateOutcome::Refused | CreateOutcome::Failed);
    let good = created.reports.iter().map(|it| &it.result).filter(is_good);
    good.filter_map(|it| it.uri.as_ref()).for_each(|uri| shell.print(uri));
    let counts = [
        (CreateOutcome::Created, "created"),
        (CreateOutcome::Updated, "updated"),
        (CreateOutcome::Unchanged, "unchanged"),
        (CreateOutcome::Blocked, "blocked"),
        (CreateOutcome::Refused, "refused"),
        (CreateOutcome::Failed, "failed"),
    ];
    let counts = counts.map(|(outcome, word)| (created.count(outcome), word));
    shell.status("Finished", counted(created.reports.len(), "repository", &counts));
    if created.exit() == Exit::Done {
        help_next(session, header);
    }
}

fn help_next(session: &Session<'_>, header: &Header) {
    let uri = header.registry.clone();
    let Some(registry) = uri else { return };
    let (local, data) = (session.local_flags(), session.data_flag());
    let shell = session.shell;
    shell.help(format!("push the images with `cargo xtask push{local}`; it needs no docker login"));
    shell.help(format!("to log docker in to {registry}: `cargo xtask ecr login{local}`"));
    if session.ends_with_command() {
        shell.help(format!("the embedded ECR listens there while `cargo xtask ecr serve{data}` runs"));
    }
}
