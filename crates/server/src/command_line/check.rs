//! `roentgen check`: verifies a store nobody has open.

use std::fmt::Write;
use std::path::Path;

use bytesize::ByteSize;
use cli::{Exit, Stop, counted, note, print};
use storage::{CheckError, CheckReport, PartitionReport};

use crate::config::Config;

/// Verifies the configured store and prints a line for each partition.
pub(crate) fn run(config: &Config) -> Result<Exit, Stop> {
    check(config, storage::check)
}

/// Does the same, and makes again what is derived from documents.
pub(crate) fn run_deep(config: &Config) -> Result<Exit, Stop> {
    check(config, storage::check_deep)
}

type Check = fn(&Path, &mut dyn FnMut(&PartitionReport)) -> Result<CheckReport, CheckError>;

fn check(config: &Config, check: Check) -> Result<Exit, Stop> {
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
