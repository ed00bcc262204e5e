//! Names that only one service or one repository may have.

use std::collections::BTreeMap;

use ecr_types::document::Problems;

use super::Service;
use super::resolve::LocatedRepository;

/// Reports services of one name, which neither `-p` nor a report could tell apart.
pub(super) fn check_services(services: &[Service], problems: &Problems) {
    let mut places = BTreeMap::new();
    for service in services {
        if let Some(first) = places.insert(&service.name, &service.place) {
            let message = format!("two services are named `{}`: here and in {first}", service.name);
            let help = "a service has the name of its package, or PACKAGE-KEY if it is in a table `services`: rename the key";
            problems.add_with_help(&service.place, message, help);
        }
    }
}

/// Sorts repositories by name, and reports those of one name.
pub(super) fn check_repositories(repositories: &mut [LocatedRepository], problems: &Problems) {
    repositories.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    for pair in repositories.windows(2) {
        let [(first, first_place), (second, second_place)] = pair else { continue };
        if first.name == second.name {
            let message = format!("duplicate repository `{}`: here and in {first_place}", second.name);
            problems.add(second_place, message);
        }
    }
}
