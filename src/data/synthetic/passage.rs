//! Types and functions that all kinds of text share: passages, questions and sentence templates.

/// A question about a passage.
pub(super) struct Question {
    /// The text before the answer, without trailing space.
    pub(super) text: String,
    /// The answer, a single word.
    pub(super) answer: &'static str,
    /// Wrong answers of the same word class. The question of an item has three wrong answers. A question in
    /// the corpus may have fewer.
    pub(super) distractors: Vec<&'static str>,
}

impl Question {
    /// Returns the question with its answer, for the corpus.
    pub(super) fn with_answer(&self) -> String {
        format!("{} {}.", self.text, self.answer)
    }
}

/// A sequence of statements, and questions about them.
pub(super) struct Passage {
    /// The statements as one text, for items.
    pub(super) statements: String,
    /// The statements as sentences, for the corpus. Some passages repeat statements in other words. Some
    /// passages contain questions and answers between the statements. Repetitions and questions train a model
    /// to bind words to one another.
    pub(super) corpus_sentences: Vec<String>,
    /// The questions, in random order.
    pub(super) questions: Vec<Question>,
}

/// The use of a passage. On average, passages for items are longer, and passages for the corpus have more
/// questions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The passage of an item.
    Item,
    /// A passage in a document of the corpus.
    Corpus,
}

/// Replaces each `{name}` in `template` with the value of `name` in `slots`.
pub(super) fn fill_slots(template: &str, slots: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}').expect("every brace of a template is closed");
        let slot = slots.iter().find(|slot| slot.0 == name).expect("every slot of a template has a value");
        text.push_str(before);
        text.push_str(slot.1);
        rest = tail;
    }
    text.push_str(rest);
    text
}

/// Returns the words of a template, without its slots and its punctuation.
pub(super) fn words_of_template(template: &'static str) -> impl Iterator<Item = &'static str> {
    template
        .split(' ')
        .filter(|word| !word.starts_with('{'))
        .map(|word| word.trim_end_matches(['.', ',', '?']))
}

/// Returns the number of tokens of `text`: its words and its punctuation marks.
pub(super) fn num_tokens(text: &str) -> usize {
    text.split(' ').map(|word| 1 + usize::from(word.ends_with(['.', ',', '?']))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_slots_are_filled() {
        let slots = [("person", "anna"), ("object", "lamp")];
        assert_eq!(fill_slots("{person} takes the {object}.", &slots), "anna takes the lamp.");
        assert_eq!(fill_slots("no slot.", &slots), "no slot.");
    }

    #[test]
    fn words_of_a_template_exclude_slots_and_punctuation() {
        let words: Vec<_> = words_of_template("when {person} comes, the {object} is here.").collect();
        assert_eq!(words, ["when", "comes", "the", "is", "here"]);
    }

    #[test]
    fn punctuation_marks_count_as_tokens() {
        assert_eq!(num_tokens("who has the lamp? anna."), 7);
    }
}
