//! Items of a file's rows: templates make each row a prompt, its choices and the right one.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, ValueKind};
use minijinja::{Environment, ErrorKind, State, UndefinedBehavior, Value};

use super::rows::{self, Row};
use super::{Item, Split};
use crate::error::Error;
use crate::hub;
use crate::manifest::{Choices, FileTask, Splits};

/// The file that the rows of `split` come from, and whether it is cut in two.
pub fn file_of_split(task: &FileTask, split: Split) -> (&str, bool) {
    match (&task.validation, split) {
        (Some(validation), Split::Train | Split::Validation) => (validation, false),
        (validation, _) => (&task.test, validation.is_none() && task.splits == Splits::HeldOut),
    }
}

/// The items of one split of `task`, in the order of their rows; it has no train split.
///
/// # Errors
/// A manifest error that names the row where a template fails or the label is none of the choices.
pub(super) fn items(task: &FileTask, split: Split) -> Result<Vec<Item>, Error> {
    let most = match split {
        Split::Train => Some(0),
        Split::Validation => task.validation_items,
        Split::Test => task.test_items,
    };
    let (path, is_cut) = file_of_split(task, split);
    let mut environment = environment();
    let template = Template::new(&mut environment, task)?;
    let rows = rows::read(&hub::local(path)?)?.into_iter().enumerate();
    let owned = rows.filter(|(_, row)| !is_cut || owner(row) == split);
    let items: Vec<Item> = owned
        .take(most.unwrap_or(usize::MAX))
        .map(|(index, row)| {
            template.item(index, split, &row).map_err(|error| {
                Error::manifest(format!("row {} of `{path}` makes no item", index + 1)).because(error)
            })
        })
        .collect::<Result<_, _>>()?;
    if items.is_empty() && split != Split::Train {
        return Err(Error::manifest(format!("`{path}` has no {split} items")));
    }
    Ok(items)
}

/// The split that a row of an undivided file belongs to.
fn owner(row: &Row) -> Split {
    let text = serde_json::to_string(row).expect("a row is plain JSON");
    match blake3::hash(text.as_bytes()).as_bytes()[0] % 2 {
        0 => Split::Validation,
        _ => Split::Test,
    }
}

/// Jinja as Python has it: a trailing newline stays, a missing column is an error, and `strip`, `index` and
/// the like are there.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the delimiters are the usual ones"));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_unknown_method_callback(method);
    environment
}

/// Python's methods, that of lists to find a place in them among them.
fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, minijinja::Error> {
    if let (ValueKind::Seq, "index", [wanted]) = (value.kind(), name, arguments) {
        let place = value.try_iter()?.position(|one| one == *wanted);
        let missing =
            || minijinja::Error::new(ErrorKind::InvalidOperation, format!("{wanted} is not in {value}"));
        return place.map(Value::from).ok_or_else(missing);
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)
}

/// What makes items of rows.
struct Template<'a> {
    environment: &'a Environment<'static>,
    task: &'a FileTask,
}

/// The prompt's name among templates.
const PROMPT: &str = "prompt";

impl<'a> Template<'a> {
    fn new(environment: &'a mut Environment<'static>, task: &'a FileTask) -> Result<Self, Error> {
        environment
            .add_template_owned(PROMPT, task.prompt.clone())
            .map_err(|cause| Error::manifest("the task's `prompt` is not a template").because(cause))?;
        Ok(Self { environment, task })
    }

    fn item(&self, index: usize, split: Split, row: &Row) -> Result<Item, Error> {
        let values = Value::from(Serde(row));
        let failed = |what: &str| {
            let message = format!("its {what} cannot be made");
            move |cause: minijinja::Error| Error::manifest(message).because(cause)
        };
        let prompt = self.environment.get_template(PROMPT).and_then(|prompt| prompt.render(&values));
        let prompt = prompt.map_err(failed("prompt"))?;
        let choices = match &self.task.choices {
            Choices::Fixed(choices) => choices.clone(),
            Choices::Each(expression) => self
                .evaluate(expression, &values)
                .and_then(|list| list.try_iter()?.map(|choice| Ok(choice.to_string())).collect())
                .map_err(failed("choices"))?,
        };
        let label = self.evaluate(&self.task.label, &values).map_err(failed("label"))?;
        let position = match label.as_usize() {
            Some(index) => Some(index).filter(|index| *index < choices.len()),
            None => choices.iter().position(|choice| *choice == label.to_string()),
        };
        let Some(label) = position else {
            return Err(Error::manifest(format!("its label {label} is none of its choices {choices:?}")));
        };
        let id = format!("{split}/{index:05}");
        Ok(Item { id, prompt, choices, label })
    }

    fn evaluate(&self, expression: &str, values: &Value) -> Result<Value, minijinja::Error> {
        self.environment.compile_expression(expression)?.eval(values)
    }
}
