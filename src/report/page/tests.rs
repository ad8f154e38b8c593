//! Tests of the HTML page.

use super::*;
use crate::algorithms::score::ItemAnswer;
use crate::report::experiment_records::ExperimentRecords;
use crate::report::{figures, fixture, tables};

const KEY: &str = "ea76c94e0ba2ea76c94e0ba2ea76c94e0ba2ea76c94e0ba2ea76c94e0ba2ea76";

/// Renders the page, and replaces escaped slashes by `/`.
fn html(records: &ExperimentRecords) -> String {
    let data = ReportData::new(records);
    let (tables, figures) = (tables::build_tables(&data).unwrap(), figures::draw(&data).unwrap());
    render(&page(&data, &tables, &figures)).unwrap().replace("&#x2f;", "/")
}

/// Returns the section of the page with the heading `name`.
fn section<'a>(html: &'a str, name: &str) -> &'a str {
    let start = html.find(&format!("<section aria-labelledby=\"{name}\">")).expect("the section exists");
    html[start..].split("</section>").next().expect("the section ends")
}

#[test]
fn the_page_does_not_depend_on_the_order_of_cells() {
    let records = fixture::records();
    assert_eq!(html(&records), html(&fixture::shuffled(records.clone())));
}

#[test]
fn text_of_a_manifest_is_escaped() {
    let mut records = fixture::records();
    let hostile = "<script>alert('&')</script>\"><img src=x>";
    records.title = format!("title {hostile}");
    records.question = Some(format!("question {hostile}"));
    records.command = format!("command {hostile}");
    for search in &mut records.searches {
        search.cell.labels.model = format!("model {hostile}");
        search.cell.labels.variant = Some(format!("variant {hostile}"));
        search.cell.labels.task = Some(format!("task {hostile}"));
        search.cell.labels.axes.insert("axis".to_owned(), hostile.to_owned());
        search.base_answers.result.items.iter_mut().for_each(|item| {
            let ItemAnswer::Choice(answer) = item else { unreachable!("the fixture has choices") };
            answer.id = format!("{hostile}{}", answer.id);
        });
    }
    records.distillations.iter_mut().for_each(|cell| cell.labels.model = hostile.to_owned());
    records.work_counts.iter_mut().for_each(|cell| cell.record.provenance.device = hostile.to_owned());
    records.missing.iter_mut().for_each(|cell| cell.reason = hostile.to_owned());
    let html = html(&records);
    assert_eq!(html.matches("<script").count(), 1, "the page must have only its own script");
    assert!(!html.contains("<img"));
    assert!(html.contains("title &lt;script&gt;") && html.contains("question &lt;script&gt;"));
}

#[test]
fn every_table_with_rows_is_shown_with_the_description_of_each_column() {
    let records = fixture::records();
    let html = html(&records);
    let (_, empty) =
        html.split_once("<p>Tables without rows in this experiment: ").expect("one table is empty");
    let empty: Vec<&str> = empty.split_once(".</p>").expect("the sentence ends").0.split(", ").collect();
    for table in tables::build_tables(&ReportData::new(&records)).unwrap() {
        if table.frame.height() == 0 {
            assert!(empty.contains(&table.spec.name), "{}", table.spec.name);
            continue;
        }
        let section = section(&html, table.spec.name);
        for column in table.frame.columns() {
            assert!(section.contains(&format!("<dt>{}</dt>", column.name())), "{}", column.name());
        }
        let num_heads = section.matches("<th scope=\"col\"").count();
        assert_eq!(section.matches("<th scope=\"col\" class=").count(), num_heads);
        assert!(section.contains(&table.file_name()));
    }
}

#[test]
fn every_figure_is_shown() {
    let records = fixture::records();
    let html = html(&records);
    for (name, svg) in figures::draw(&ReportData::new(&records)).unwrap() {
        assert!(html.contains(&svg) && html.contains(&format!("\"../../figures/fixture/{name}\"")), "{name}");
    }
}

#[test]
fn keys_link_to_the_records_of_their_stage() {
    let mut records = fixture::records();
    records.searches[0].cell.record.spec.id.key = KEY.parse().unwrap();
    records.work_counts[0].record.spec.id.key = KEY.parse().unwrap();
    let scored = KEY.replace("ea", "ae");
    records.searches[0].best_answers.cell.key = scored.parse().unwrap();
    let html = html(&records);
    let search = format!("<a href=\"../../cells-v2/search/ea/{KEY}.json\">ea76c94e0ba2</a>");
    for table in ["searches", "trajectories", "stages"] {
        assert!(section(&html, table).contains(&search), "{table}");
    }
    let score = format!("<a href=\"../../cells-v2/score/ae/{scored}.json\"");
    assert!(section(&html, "findings").contains(&score));
    records.old_record_keys.insert(KEY.parse().unwrap());
    let old = format!("<a href=\"../../cells-v2/search/ea/{KEY}/record.json\">ea76c94e0ba2</a>");
    assert!(section(&self::html(&records), "searches").contains(&old));
}

#[test]
fn a_long_table_shows_its_first_rows_and_the_number_of_all() {
    let html = html(&fixture::records());
    let items = section(&html, "items");
    assert!(items.contains("The first 100 of 4\u{202f}800 rows"), "{}", &items[..900]);
    assert_eq!(items.matches("<tr>").count(), 101);
    assert!(section(&html, "trajectories").contains("rows, also in"));
}

#[test]
fn a_value_that_all_rows_share_is_shown_once() {
    let html = html(&fixture::records());
    let searches = section(&html, "searches");
    assert!(searches.contains("In every row: model&nbsp;<b>tiny-8</b>"), "{}", &searches[..900]);
    assert!(!searches.contains(">model</th>") && searches.contains(">p_base</th>"));
}

#[test]
fn rounded_numbers_keep_their_exact_value() {
    let mut records = fixture::records();
    records.work_counts[0].record.seconds = 1_234.567_891;
    let html = html(&records);
    assert!(section(&html, "stages").contains("<data value=\"1234.567891\">1235</data>"));
}

#[test]
fn missing_cells_are_listed_with_the_command_that_computes_them() {
    let html = html(&fixture::records());
    let findings = section(&html, "findings");
    assert!(
        findings.contains("1 cell is missing")
            && findings.contains("<code>dtr sweep experiments/fixture.toml</code>")
    );
    assert!(findings.contains("tiny-8 / jet / arc-easy <code>3f2a91c05d7e</code>: never run"));
}

#[test]
fn a_page_without_results_says_so() {
    let html = html(&ExperimentRecords::default());
    assert!(html.contains("<p>No cell is done yet.</p>") && !html.contains("<table"));
}

#[test]
fn scores_of_bases_without_hybrids_are_summarised() {
    let mut records = fixture::records();
    let search = records.searches.remove(0);
    let base = fixture::base_score(&search);
    let score = 100.0 * base.score;
    let html = html(&ExperimentRecords { bases: vec![base], ..ExperimentRecords::default() });
    let findings = section(&html, "findings");
    assert!(
        findings.contains(&format!("1 test score of a base without hybrids: {score:.1} %.")),
        "{findings}"
    );
}
