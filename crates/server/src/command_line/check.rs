//! `roentgen check`: verifies a store nobody has open.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use account::{AccountError, GroupsSnapshot};
use bytesize::ByteSize;
use cli::{Exit, Stop, counted, note, print};
use model::{Account, Tenant};
use query::Classifier;
use storage::{CheckError, CheckReport, ControlStore, PartitionReport, Recall};

use crate::app::classify_by;
use crate::config::Config;

/// What is done with the report of each partition.
type Progress<'a> = &'a mut dyn FnMut(&PartitionReport);

/// Verifies the configured store and prints a line for each partition.
pub(crate) fn run(config: &Config) -> Result<Exit, Stop> {
    check(config, storage::check)
}

/// Does the same, and makes again what is derived from documents.
pub(crate) fn run_deep(config: &Config) -> Result<Exit, Stop> {
    let slow_trace = config.query.slow_trace.0;
    let recall_by = |settings: &Arc<dyn ControlStore>, tenants: &[(String, String)]| {
        let recall = recall(settings, tenants, slow_trace);
        recall.map_err(|error| error.to_string())
    };
    check(config, |data, progress| {
        storage::check_deep(data, &recall_by, progress)
    })
}

/// Returns what tells the groups of all accounts, as the server that wrote them had it.
fn recall(
    settings: &Arc<dyn ControlStore>,
    tenants: &[(String, String)],
    slow_trace: Duration,
) -> Result<Arc<dyn Recall>, AccountError> {
    let classifier = Classifier::default();
    for (tenant, (id, region)) in (0..).map(Tenant).zip(tenants) {
        let account = Account {
            id: id.clone(),
            region: region.clone(),
        };
        let groups = GroupsSnapshot::stored(Arc::clone(settings), tenant, &account)?;
        classify_by(&classifier, tenant, &groups, slow_trace);
    }
    Ok(Arc::new(classifier))
}

fn check(
    config: &Config,
    check: impl FnOnce(&Path, Progress<'_>) -> Result<CheckReport, CheckError>,
) -> Result<Exit, Stop> {
    // Opening a store may write; the guard keeps that durable. Where it cannot stand, looking is
    // still worth more than refusing to look.
    if let Err(error) = storage::guard::install() {
        note(&format!("roentgen: {error}"));
    }
    let mut progress = |partition: &PartitionReport| {
        // What cannot be printed now is in the exit code all the same.
        let _printed = print(&summary(partition));
    };
    let report = check(&config.data.dir, &mut progress).map_err(|error| {
        let exit = match &error {
            CheckError::NoStore(_) => Exit::NotFound,
            CheckError::Open(_) => Exit::Failed,
        };
        Stop::new(exit, error)
    })?;
    if let Some(finding) = &report.settings {
        print(&format!("settings  {finding}\n"))?;
    }
    for folder in &report.quarantined {
        print(&format!("{folder}  set aside as damaged earlier\n"))?;
    }
    let partitions = counted(report.partitions.len(), "partition");
    if report.is_damaged() {
        print(&format!("damaged: see above ({partitions})\n"))?;
        return Ok(Exit::Damaged);
    }
    print(&format!("sound: {partitions}\n"))?;
    Ok(Exit::Done)
}

fn summary(partition: &PartitionReport) -> String {
    let state = if partition.is_sealed {
        "sealed"
    } else {
        "open"
    };
    let size = ByteSize::b(partition.document_bytes).display().iec();
    let documents = counted(partition.n_documents, "document");
    let mut text = format!("{}  {state}  {documents}  {size}", partition.folder);
    if partition.n_findings == 0 {
        text.push_str("  sound\n");
        return text;
    }
    // Writing to a string does not fail.
    let _written = writeln!(text, "  {}:", counted(partition.n_findings, "finding"));
    for finding in &partition.findings {
        let _written = writeln!(text, "    {finding}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_summed_up() {
        let mut partition = PartitionReport {
            folder: "0001".into(),
            is_sealed: true,
            n_documents: 3,
            document_bytes: 2048,
            ..PartitionReport::default()
        };
        assert_eq!(
            summary(&partition),
            "0001  sealed  3 documents  2.0 KiB  sound\n"
        );
        (partition.n_documents, partition.n_findings) = (1, 1);
        partition.findings = vec!["checksum".into()];
        assert_eq!(
            summary(&partition),
            "0001  sealed  1 document  2.0 KiB  1 finding:\n    checksum\n"
        );
    }
}
