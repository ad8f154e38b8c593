//! Translates character classes, such as `[a-z_]`.

use super::translate::{Pattern, SPACE, WORD, read_character_escape};

/// A part of a character class.
enum ClassItem {
    Character(char),
    /// A set such as `\d`, in the syntax of `fancy-regex`.
    Set(String),
}

/// Translates a class. `pattern` begins after the opening bracket of the class.
pub(super) fn translate_class(pattern: &mut Pattern) -> Result<String, String> {
    let mut class = String::from("[");
    class.extend(pattern.next_if_eq(&'^'));
    let mut is_first = true;
    loop {
        let next = pattern.next().ok_or("a class has no closing bracket")?;
        // A closing bracket at the beginning of a class is a literal character.
        if next == ']' && !is_first {
            class.push(']');
            return Ok(class);
        }
        is_first = false;
        let item = read_item(next, pattern)?;
        match (item, read_range_end(pattern)?) {
            (ClassItem::Character(first), Some(ClassItem::Character(last))) if first <= last => {
                class += &format!("{}-{}", literal(first), literal(last));
            }
            (_, Some(_)) => return Err("a range in a class is invalid".to_owned()),
            (ClassItem::Character(character), None) => class += &literal(character),
            (ClassItem::Set(set), None) => class += &set,
        }
    }
}

/// Reads the end of a range, such as the `-z` of `a-z`. Returns `None` if no range ends here. A minus sign at
/// the end of a class is a literal character.
fn read_range_end(pattern: &mut Pattern) -> Result<Option<ClassItem>, String> {
    let mut ahead = pattern.clone();
    if ahead.next() != Some('-') || matches!(ahead.peek(), Some(']') | None) {
        return Ok(None);
    }
    pattern.next();
    let next = pattern.next().ok_or("a class has no closing bracket")?;
    read_item(next, pattern).map(Some)
}

fn read_item(next: char, pattern: &mut Pattern) -> Result<ClassItem, String> {
    if next != '\\' {
        return Ok(ClassItem::Character(next));
    }
    let next = pattern.next().ok_or("a backslash ends the pattern")?;
    let set = match next {
        'd' | 'D' => format!(r"\{next}"),
        'w' => WORD.to_owned(),
        'W' => format!("[^{WORD}]"),
        's' => SPACE.to_owned(),
        'S' => format!("[^{SPACE}]"),
        'b' => return Ok(ClassItem::Character('\x08')),
        '1'..='7' => return read_octal(next, pattern).map(ClassItem::Character),
        _ => return read_character_escape(next, pattern).map(ClassItem::Character),
    };
    Ok(ClassItem::Set(set))
}

/// Reads an octal number of up to three digits. In a class, such an escape never refers to a group.
fn read_octal(first: char, pattern: &mut Pattern) -> Result<char, String> {
    let mut digits = String::from(first);
    digits.extend((0..2).map_while(|_| pattern.next_if(|next| ('0'..='7').contains(next))));
    let code = u32::from_str_radix(&digits, 8).ok().filter(|code| *code < 0o400);
    code.and_then(char::from_u32).ok_or_else(|| format!(r"`\{digits}` is no character"))
}

fn literal(character: char) -> String {
    if character.is_alphanumeric() {
        return character.to_string();
    }
    format!(r"\x{{{:x}}}", u32::from(character))
}
