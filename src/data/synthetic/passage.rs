//! What the kinds of text have in common: filled-in sentences, and passages with questions.

/// A question about a passage.
pub(super) struct Question {
    /// The text up to the answer, without a trailing blank.
    pub(super) text: String,
    /// The one word that answers it.
    pub(super) answer: &'static str,
    /// Words of the same class that do not: three, or fewer where a short passage has no more.
    pub(super) wrong: Vec<&'static str>,
}

impl Question {
    /// The question with its answer, as a corpus tells it.
    pub(super) fn answered(&self) -> String {
        format!("{} {}.", self.text, self.answer)
    }
}

/// Statements, and questions that they answer.
pub(super) struct Passage {
    /// The statements as one text.
    pub(super) statements: String,
    /// The sentences by which a corpus tells the statements: with some of them told again in other
    /// words, or with questions asked on the way. Practice in binding comes from these.
    pub(super) told: Vec<String>,
    /// Questions in the order of their drawing.
    pub(super) questions: Vec<Question>,
}

/// What a passage is drawn for: those of items are longer, those of a corpus ask more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Item,
    Corpus,
}

/// Replaces each `{name}` of `template` by the word that `slots` gives for it.
pub(super) fn fill(template: &str, slots: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}').expect("a brace that opens also closes");
        let slot = slots.iter().find(|slot| slot.0 == name).expect("a template names only slots it has");
        text.push_str(before);
        text.push_str(slot.1);
        rest = tail;
    }
    text.push_str(rest);
    text
}

/// The words of a template itself, without its slots and its punctuation.
pub(super) fn words_of(template: &'static str) -> impl Iterator<Item = &'static str> {
    template
        .split(' ')
        .filter(|word| !word.starts_with('{'))
        .map(|word| word.trim_end_matches(['.', ',', '?']))
}

/// How many tokens `text` has: its words and its punctuation marks.
pub(super) fn num_tokens(text: &str) -> usize {
    text.split(' ').map(|word| 1 + usize::from(word.ends_with(['.', ',', '?']))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_filled_wherever_they_stand() {
        let slots = [("person", "anna"), ("object", "lamp")];
        assert_eq!(fill("{person} takes the {object}.", &slots), "anna takes the lamp.");
        assert_eq!(fill("no slot.", &slots), "no slot.");
    }

    #[test]
    fn words_leave_out_slots_and_marks() {
        let words: Vec<_> = words_of("when {person} comes, the {object} is here.").collect();
        assert_eq!(words, ["when", "comes", "the", "is", "here"]);
    }

    #[test]
    fn marks_count_as_tokens() {
        assert_eq!(num_tokens("who has the lamp? anna."), 7);
    }
}
