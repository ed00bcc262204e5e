//! `push --list`: which services a push would build, and why.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::images::{Verdict, verdicts};
use super::{Base, Since};
use crate::affected::Reason;
use crate::cli::commands::push::Job;
use crate::cli::commands::push::prepare::Destination;
use crate::cli::commands::session::Session;
use crate::cli::error::{Exit, Failure};
use crate::cli::report::{ListedService, ServiceList};
use crate::cli::shell::Shell;

/// Prints the services. Nothing is built, and only `--since published` asks a registry.
pub(in crate::cli::commands::push) async fn list(
    shell: &Shell,
    jobs: &[Job],
    since: Option<Arc<Since>>,
    destination: Destination,
) -> Result<Exit, Failure> {
    let reasons = match &since {
        None => BTreeMap::new(),
        Some(since) => reasons(shell, jobs, since, destination).await?,
    };
    let service = |it: &Job| {
        let reasons = reasons.get(&it.index).cloned().unwrap_or_default();
        ListedService {
            package: it.service.package.name.clone(),
            service: it.service.key.clone(),
            affected: since.is_none() || !reasons.is_empty(),
            reasons: reasons.iter().map(ToString::to_string).collect(),
        }
    };
    let list = ServiceList { services: jobs.iter().map(service).collect() };
    list.lines().iter().for_each(|it| shell.print(it));
    shell.json(&list);
    Ok(Exit::Done)
}

async fn reasons(
    shell: &Shell,
    jobs: &[Job],
    since: &Arc<Since>,
    destination: Destination,
) -> Result<BTreeMap<usize, Vec<Reason>>, Failure> {
    let everything = || {
        let reason = Reason::Other("there is no commit before".to_owned());
        jobs.iter().map(|it| (it.index, vec![reason.clone()])).collect()
    };
    match (&since.base, destination) {
        (Base::Nothing, _) => Ok(everything()),
        (Base::Commit { commit, .. }, _) => Ok(since.affected(commit.clone()).await?),
        (Base::Published, Destination::Registry(connection, workspace)) => {
            let (session, ()) =
                Session::identify_and_read(shell, *workspace, *connection, async |_| ()).await?;
            let jobs: Vec<_> = jobs.iter().collect();
            let verdicts = verdicts(since, &session.aws, &jobs, session.aws_concurrency()).await?;
            session.warn_of_denials();
            let reasons = |verdict| match verdict {
                Verdict::Affected(reasons) => reasons,
                Verdict::Unaffected(_) => Vec::new(),
            };
            Ok(verdicts.into_iter().map(|(index, it)| (index, reasons(it))).collect())
        }
        (Base::Published, _) => Err(Failure::new("--since published needs a registry")),
    }
}
