//! `dtr complete MAP --model DIR`: fills holes of an OpenDRIVE map with roads that a model writes.

mod missing;
mod writer;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use dtr_opendrive::complete::{Completed, complete, draw_before_after};
use dtr_opendrive::read::MapFile;
use dtr_opendrive::xml::Limits;
use serde_json::{Value, json};

use self::missing::{MissingRoad, find_missing_roads};
use self::writer::{RoadWriter, WrittenRoad};
use super::model_args::ComputeArgs;
use super::print_json;
use crate::data::opendrive::map_error;
use crate::export::ExportedRoadFormat;
use dtr_core::error::{Error, Result};
use dtr_core::files;

/// Complete the missing roads of an OpenDRIVE map with an exported model.
///
/// Finds the roads that the map names and does not have, and inserts the roads that the model writes. Nothing
/// else in the map changes. Prints the probability of each road's text and the rules that the road breaks, and
/// draws the map before and after as SVG. Returns 1 if a road could not be completed.
#[derive(Args)]
pub struct CompleteCommand {
    /// OpenDRIVE map (`.xodr`).
    map: PathBuf,
    /// Directory of a hybrid that `dtr export` wrote, and that was searched on a task of OpenDRIVE maps.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Map to write; the drawing gets the same name with `.svg`. By default, `-completed` is added to the
    /// name of the map.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Id of a missing road; may be repeated. By default, all roads that the map names and does not have.
    #[arg(long = "road", value_name = "ID")]
    roads: Vec<String>,
    /// File of OpenStreetMap (`.osm`): also completes roads that it has and the map lacks.
    #[arg(long, value_name = "FILE")]
    osm: Option<PathBuf>,
    /// Print the completed roads as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// A road that was to be completed.
enum Outcome {
    /// The road is in the map.
    Completed { written: WrittenRoad, completed: Box<Completed>, note: Option<String> },
    /// The road is not in the map, for this reason.
    NotCompleted { road: String, reason: String },
}

impl CompleteCommand {
    pub(super) fn run(self) -> Result<u8> {
        let bytes = read_up_to_limit(&self.map)?;
        let before = MapFile::from_bytes(&bytes).map_err(|error| map_error(&self.map, &error))?;
        let missing = find_missing_roads(&before.map, &self.roads, self.osm.as_deref())?;
        if missing.is_empty() {
            println!("`{}` has no missing roads", self.map.display());
            return Ok(0);
        }
        let format = ExportedRoadFormat::read(&self.model)?;
        let writer = RoadWriter::new(self.compute.read(&self.model)?, &self.model, format)?;
        let (after, outcomes) = complete_all(before.clone(), missing, &writer)?;
        let is_complete = outcomes.iter().all(|outcome| matches!(outcome, Outcome::Completed { .. }));
        let output = self.output.clone().unwrap_or_else(|| self.default_output());
        let ids = completed_ids(&outcomes);
        if !ids.is_empty() {
            let drawing = draw_before_after(&before.map, &after.map, &ids);
            files::write_bytes_atomically(&output, after.text.as_bytes())?;
            files::write_bytes_atomically(&output.with_extension("svg"), drawing.as_bytes())?;
        }
        match self.json {
            true => print_json(&outcomes.iter().map(|one| one.to_json(writer.format())).collect::<Vec<_>>()),
            false => outcomes.iter().for_each(|outcome| println!("{}", outcome.to_line(writer.format()))),
        }
        if !ids.is_empty() {
            eprintln!("wrote `{}` and its drawing", output.display());
        }
        Ok(u8::from(!is_complete))
    }

    fn default_output(&self) -> PathBuf {
        let stem = self.map.file_stem().unwrap_or_default().to_string_lossy();
        self.map.with_file_name(format!("{stem}-completed.xodr"))
    }
}

/// Reads a file. Of a file that is too long to be a map, reads as much as a reader of maps needs to refuse it.
fn read_up_to_limit(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take(Limits::default().bytes as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|cause| Error::io("read", path, cause))?;
    Ok(bytes)
}

fn completed_ids(outcomes: &[Outcome]) -> Vec<String> {
    let id = |outcome: &Outcome| match outcome {
        Outcome::Completed { written, .. } => Some(written.road.clone()),
        Outcome::NotCompleted { .. } => None,
    };
    outcomes.iter().filter_map(id).collect()
}

/// Completes roads in rounds. A road can need a neighbour that an earlier round has completed.
fn complete_all(
    mut file: MapFile,
    mut missing: Vec<MissingRoad>,
    writer: &RoadWriter,
) -> Result<(MapFile, Vec<Outcome>)> {
    let mut outcomes = Vec::new();
    loop {
        let (ready, later): (Vec<_>, Vec<_>) =
            missing.into_iter().partition(|road| writer.has_prompt(&file.map, road));
        if ready.is_empty() {
            outcomes.extend(later.into_iter().map(MissingRoad::into_reason).map(Outcome::from_reason));
            return Ok((file, outcomes));
        }
        for (road, written) in writer.write_roads(&file.map, ready)? {
            outcomes.push(complete_one(&mut file, road, written));
        }
        missing = later.into_iter().map(|road| road.look_again(&file.map)).collect();
    }
}

/// Inserts a written road into the map.
fn complete_one(file: &mut MapFile, road: MissingRoad, written: WrittenRoad) -> Outcome {
    let (gap, note) = road.into_gap();
    match complete(file, &gap, &written.text) {
        Ok(completed) => {
            *file = completed.file.clone();
            Outcome::Completed { written, completed: Box::new(completed), note }
        }
        Err(error) => Outcome::NotCompleted { road: written.road, reason: error.to_string() },
    }
}

impl Outcome {
    fn from_reason((road, reason): (String, String)) -> Self {
        Self::NotCompleted { road, reason }
    }

    fn to_line(&self, format: &ExportedRoadFormat) -> String {
        match self {
            Self::Completed { written, completed, note } => {
                let findings = problems(completed, format);
                let findings =
                    if findings.is_empty() { "all checks pass".to_owned() } else { findings.join("; ") };
                let note = note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
                format!(
                    "road {}: {:.1} m, probability {:.2}{note}: {findings}",
                    written.road, completed.road.length, written.probability
                )
            }
            Self::NotCompleted { road, reason } => format!("road {road}: not completed: {reason}"),
        }
    }

    fn to_json(&self, format: &ExportedRoadFormat) -> Value {
        match self {
            Self::Completed { written, completed, note } => json!({
                "road": written.road,
                "completed": true,
                "length": completed.road.length,
                "probability": written.probability,
                "failed_checks": problems(completed, format),
                "note": note,
                "text": written.text,
            }),
            Self::NotCompleted { road, reason } => {
                json!({ "road": road, "completed": false, "reason": reason })
            }
        }
    }
}

/// Returns the checks that a completed road fails: rules of the standard, and ends that do not meet the roads
/// that they touch within the tolerance.
fn problems(completed: &Completed, format: &ExportedRoadFormat) -> Vec<String> {
    let tolerance = format.format.tolerance;
    let ends = ["start", "end"].into_iter().zip(&completed.ends).filter_map(|(name, end)| {
        let is_near = end.position <= tolerance.position && end.heading <= tolerance.heading;
        (!is_near).then(|| {
            format!(
                "its {name} is {:.2} m and {:.3} rad away from the road that it touches",
                end.position, end.heading
            )
        })
    });
    ends.chain(completed.findings.iter().map(ToString::to_string)).collect()
}

#[cfg(test)]
mod tests {
    use dtr_opendrive::complete::remove_road;
    use dtr_opendrive::gap::PromptOptions;
    use dtr_opendrive::items::{GapTask, View};
    use dtr_opendrive::synthetic::{SyntheticOptions, synthetic_map};
    use dtr_opendrive::write_map::map_xml;

    use super::*;
    use crate::data::opendrive::RoadFormat;

    fn format() -> ExportedRoadFormat {
        ExportedRoadFormat { format: RoadFormat::default(), max_tokens: 8 }
    }

    /// Returns a map without one road, the id of the road, and its text.
    fn map_with_hole() -> (MapFile, String, String) {
        let xml = map_xml(&synthetic_map(7, &SyntheticOptions::default()), "map");
        let whole = MapFile::from_bytes(xml.as_bytes()).unwrap();
        let task = GapTask::new("map", &whole.map, View::Plain, PromptOptions::default());
        let is_road = |id: &str| whole.map.road(id).is_some_and(|road| road.junction.is_none());
        let item = task.items().into_iter().find(|item| is_road(&item.id.road)).unwrap();
        let map = remove_road(&whole, &item.id.road).unwrap();
        (MapFile::from_bytes(map.as_bytes()).unwrap(), item.id.road, item.answer)
    }

    #[test]
    fn the_text_of_the_removed_road_completes_the_map_and_another_text_does_not() {
        let (before, id, text) = map_with_hole();
        let complete_with = |text: &str| {
            let missing = find_missing_roads(&before.map, &[], None).unwrap();
            let road = missing.into_iter().find(|road| road.id == id).unwrap();
            let mut file = before.clone();
            let written = WrittenRoad { road: id.clone(), text: text.to_owned(), probability: 0.5 };
            let outcome = complete_one(&mut file, road, written);
            (file, outcome)
        };
        let (after, outcome) = complete_with(&text);
        assert!(after.map.road(&id).is_some() && after.map.roads.len() == before.map.roads.len() + 1);
        let line = outcome.to_line(&format());
        assert!(line.contains("probability 0.50") && line.ends_with("all checks pass"), "{line}");
        assert_eq!(outcome.to_json(&format())["failed_checks"], json!([]));
        assert_eq!(completed_ids(&[outcome]), std::slice::from_ref(&id));
        let (after, outcome) = complete_with("no road");
        assert!(after.map.road(&id).is_none());
        assert!(outcome.to_line(&format()).contains("not completed"));
    }

    #[test]
    fn only_missing_roads_can_be_named() {
        let (before, id, _) = map_with_hole();
        let found = |ids: &[String]| find_missing_roads(&before.map, ids, None).map(|found| found.len());
        assert_eq!(found(&[id]).unwrap(), 1);
        let error = found(&[before.map.roads[0].id.clone()]).unwrap_err().to_string();
        assert!(error.starts_with("cannot complete road ") && error.ends_with("the map has it"), "{error}");
    }
}
