//! Metrics of answers that name a class.

use std::collections::BTreeSet;

use super::AnswerScore;

/// Returns LongBench's score of the answer `prediction`. If the answer contains the name of the correct class
/// `reference`, the score is 1 divided by the number of classes that the answer names. Otherwise, the score
/// is 0.
///
/// A class does not count if its name is part of the correct class's name. LongBench removes such classes
/// from a list during a loop over the same list. The loop therefore skips the class after each removed class.
/// This function skips the same classes, because the published scores depend on the skipping.
pub(super) fn classification_score(prediction: &str, reference: &str, classes: &[String]) -> f64 {
    let mut named: Vec<&str> =
        classes.iter().map(String::as_str).filter(|name| prediction.contains(name)).collect();
    let mut place = 0;
    while let Some(name) = named.get(place).copied() {
        if name != reference
            && reference.contains(name)
            && let Some(first) = named.iter().position(|other| *other == name)
        {
            named.remove(first);
        }
        place += 1;
    }
    if named.contains(&reference) { 1.0 / named.len() as f64 } else { 0.0 }
}

/// Returns the mean F1 score of the classes in `classes`. If `classes` is empty, returns the mean over all
/// correct and all predicted classes. The F1 score of a class that never occurs is 0.
pub(super) fn macro_f1(classes: &[String], scores: &[AnswerScore]) -> f64 {
    let answers: Vec<_> = scores.iter().filter_map(|score| score.classes.as_ref()).collect();
    let occurring = answers.iter().flat_map(|answer| [answer.correct.as_str(), answer.predicted.as_str()]);
    let classes: BTreeSet<&str> = match classes {
        [] => occurring.collect(),
        _ => classes.iter().map(String::as_str).collect(),
    };
    let f1_of = |class: &&str| {
        let num_correct = answers.iter().filter(|answer| answer.correct == *class).count();
        let num_predicted = answers.iter().filter(|answer| answer.predicted == *class).count();
        let num_both =
            answers.iter().filter(|answer| answer.correct == *class && answer.predicted == *class).count();
        if num_both == 0 { 0.0 } else { 2.0 * num_both as f64 / (num_correct + num_predicted) as f64 }
    };
    classes.iter().map(f1_of).sum::<f64>() / classes.len().max(1) as f64
}
