//! The evaluator beside a plainer one, under all readings.

use std::collections::{BTreeSet, HashMap};

use ecr_lifecycle::evaluate::{Decision, Outcome, evaluate, evaluate_under};
use ecr_lifecycle::question::Question;
use ecr_lifecycle::reading::Reading;
use ecr_lifecycle::{Image, Policy};
use ecr_types::property::hold;
use proptest::prelude::*;

use crate::plain;
use crate::strategies::{images, now, policy};

fn reading() -> impl Strategy<Value = Reading> {
    prop::sample::select(Reading::all(&Question::ALL))
}

#[test]
fn outcomes_under_any_reading_are_those_of_the_plain_evaluator() {
    hold((policy(), images(), reading()), |(policy, images, reading)| {
        let ours = evaluate_under(&policy, &images, now(), reading);
        prop_assert_eq!(ours, plain::outcomes(&policy, &images, now(), reading), "{:?}", images);
        Ok(())
    });
}

/// The questions on which the fate of image `n` depends, by every pair of readings that differ in one answer.
fn questions(n: usize, all: &HashMap<Reading, Vec<Outcome>>) -> Vec<Question> {
    let fate = |reading: &Reading| all[reading][n].fate();
    let depends = |question: &Question| {
        let mut opposite = all.keys().filter(|it| it.is_opposite(*question));
        opposite.any(|it| fate(it) != fate(&it.with_documented(*question)))
    };
    Question::ALL.into_iter().filter(depends).collect()
}

fn is_the_union(policy: &Policy, images: &[Image], decisions: &[Decision]) -> Result<(), TestCaseError> {
    // Every image list concerns a few of the questions; the others are asked, too, in case one is left out wrongly.
    let plain = |reading: Reading| (reading, plain::outcomes(policy, images, now(), reading));
    let all: HashMap<_, _> = Reading::all(&Question::ALL).into_iter().map(plain).collect();
    for (n, decision) in decisions.iter().enumerate() {
        prop_assert_eq!(decision.outcome, all[&Reading::documented()][n]);
        let fates: BTreeSet<_> = all.values().map(|it| format!("{:?}", it[n].fate())).collect();
        let possible: BTreeSet<_> = decision.possible().map(|it| format!("{:?}", it.fate())).collect();
        prop_assert_eq!(&possible, &fates, "image {} of {:?}", n, images);
        prop_assert_eq!(decision.possible().count(), fates.len());
        prop_assert!(decision.others.iter().all(|other| all.values().any(|it| it[n] == *other)));
        prop_assert_eq!(&decision.questions, &questions(n, &all), "image {} of {:?}", n, images);
    }
    Ok(())
}

#[test]
fn decisions_are_the_union_over_all_readings() {
    let few = images().prop_map(|it| it.into_iter().take(7).collect::<Vec<_>>());
    hold((policy(), few), |(policy, images)| {
        is_the_union(&policy, &images, &evaluate(&policy, &images, now()))
    });
}
