//! `dtr report`: tables and figures of finished cells.

use crate::project::Project;

#[test]
fn a_report_names_the_command_that_computes_missing_cells() {
    Project::new().command("report").exit(3).stderr_contains("dtr sweep");
}
