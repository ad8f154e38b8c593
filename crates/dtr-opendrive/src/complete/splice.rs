//! Edits the text of a map: inserts a road and the links to it, or removes a road. All other bytes stay.

use crate::map::{Contact, Link, Road};
use crate::read::MapFile;
use crate::write::{escape, road_xml};
use crate::xml::{Document, Limits, Node};
use crate::{Error, Result};

/// The text of the map without one road. Links to the road stay.
pub fn remove_road(file: &MapFile, id: &str) -> Result<String> {
    let index = file.map.roads.iter().position(|road| road.id == id);
    let index = index.ok_or_else(|| Error::new(format!("the map has no road {id:?}")))?;
    let span = file.road_spans[index].clone();
    Ok(format!("{}{}", &file.text[..span.start], &file.text[span.end..]))
}

/// The text of the map with one more road. Neighbours that have no link at the contact get a link to the
/// road.
pub fn splice_road(file: &MapFile, road: &Road) -> Result<String> {
    let newline = if file.text.contains("\r\n") { "\r\n" } else { "\n" };
    let (at, indent) = match file.road_spans.last() {
        Some(span) => (span.end, indentation(&file.text, span.start)),
        None => (file.end, String::new()),
    };
    let xml = road_xml(road, &indent).replace('\n', newline);
    let mut insertions = vec![(at, format!("{newline}{indent}{xml}"))];
    let document = Document::parse(&file.text, &Limits::default())?;
    for end in [Contact::Start, Contact::End] {
        let Some(Link::Road { id, contact: Some(contact) }) = road.link(end) else { continue };
        // The junction links a connecting road, not the roads at its ends.
        if road.junction.is_some() || file.map.road(id).is_none_or(|other| other.link(*contact).is_some()) {
            continue;
        }
        let node = document.root().all("road").find(|node| node.attribute("id") == Some(id));
        if let Some(node) = node {
            insertions.push(link_insertion(node, *contact, road, end));
        }
    }
    insertions.sort_by_key(|(at, _)| *at);
    let mut text = String::with_capacity(file.text.len() + 4096);
    let mut from = 0;
    for (at, insertion) in insertions {
        text.push_str(&file.text[from..at]);
        text.push_str(&insertion);
        from = at;
    }
    text.push_str(&file.text[from..]);
    Ok(text)
}

/// The white space before a byte, if nothing else is on the line before it.
fn indentation(text: &str, at: usize) -> String {
    let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let before = &text[line..at];
    if before.trim().is_empty() { before.to_owned() } else { String::new() }
}

/// Where and how the element of a neighbour gets a link to the new road.
fn link_insertion(neighbor: Node<'_>, contact: Contact, road: &Road, end: Contact) -> (usize, String) {
    let name = if contact == Contact::Start { "predecessor" } else { "successor" };
    let link = format!(
        "<{name} elementType=\"road\" elementId=\"{}\" contactPoint=\"{}\"/>",
        escape(&road.id),
        end.name()
    );
    match neighbor.first("link").map(Node::element) {
        // `<predecessor>` comes first.
        Some(element) if element.span != element.start_tag => {
            let at = if contact == Contact::Start {
                element.start_tag.end
            } else {
                element.span.end - "</link>".len()
            };
            (at, link)
        }
        // An empty `<link/>` stays and has no effect; a road may have only one, so it is put in front of it.
        _ => (neighbor.element().start_tag.end, format!("<link>{link}</link>")),
    }
}
