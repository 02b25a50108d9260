//! `check`: walks a whole store that nobody has open and verifies every record.

mod deep;

use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use model::{DocumentLimits, Segment, Tenant};

use crate::Classify;
use crate::backup::refuse_remains;
use crate::control::{ControlStore, FOLDER, SledControl};
use crate::dictionary::Dictionaries;
use crate::engine::{Engine, EngineError, SledEngine, Tree};
use crate::graph::StoredHour;
use crate::keys;
use crate::manifest::{self, DERIVED, Manifest, PartitionEntry};
use crate::migrations;
use crate::open::{OpenError, PARTITIONS, SEALED_CACHE_BYTES, lock};
use crate::partitions::{Handle, Opened};
use crate::record::{BlockEntry, Damage, Record, Zone, decode};
use crate::sealed::Members;

/// Why a store cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It cannot be opened at all.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no store.
    #[error("{0} holds no store; name its folder with --data")]
    NoStore(String),
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// The partitions, oldest first.
    pub partitions: Vec<PartitionReport>,
    /// Partitions set aside earlier as damaged.
    pub quarantined: Vec<String>,
    /// What is wrong with the settings, in words; nothing if they are whole or there are none.
    pub settings: Option<String>,
}

/// What a check found in one partition.
#[derive(Clone, Debug, Default)]
pub struct PartitionReport {
    /// Its folder.
    pub folder: String,
    /// Whether it is sealed.
    pub is_sealed: bool,
    /// Documents that are whole.
    pub n_documents: u64,
    /// Bytes of their texts.
    pub document_bytes: u64,
    /// All records looked at.
    pub n_records: u64,
    /// What is wrong, in words; the first twenty findings.
    pub findings: Vec<String>,
    /// How many findings there are.
    pub n_findings: u64,
}

/// Findings spelled out for one partition.
const N_FINDINGS_MAX: usize = 20;

impl CheckReport {
    /// Tells whether anything is damaged.
    pub fn is_damaged(&self) -> bool {
        let is_damaged = |partition: &PartitionReport| partition.n_findings > 0;
        self.settings.is_some() || self.partitions.iter().any(is_damaged)
    }
}

/// Verifies every record of the store in `data`, which no server may have open. Changes nothing
/// readers see. Memory stays small whatever is stored; time grows with it.
pub fn check(
    data: &Path,
    progress: &mut dyn FnMut(&PartitionReport),
) -> Result<CheckReport, CheckError> {
    let is_store = matches!(manifest::read(data), Ok(Some(_)) | Err(_)) && data.is_dir();
    if !is_store {
        if refuse_remains(data).is_err() {
            // A restore that is at work has the lock.
            let _lock = lock(data)?;
            refuse_remains(data)?;
        }
        return Err(CheckError::NoStore(data.display().to_string()));
    }
    let _lock = lock(data)?;
    let manifest: Manifest = migrations::look(data)?;
    let dictionaries = Dictionaries::open(&data.join("dict"))
        .map_err(|source| OpenError::io("reading dictionaries of", data, &source))?;
    let engine: Arc<dyn Engine> = Arc::new(SledEngine);
    let mut report = CheckReport {
        quarantined: quarantined(data),
        ..CheckReport::default()
    };
    for entry in &manifest.partitions {
        let dir = data.join(PARTITIONS).join(&entry.folder);
        let handle = Handle::new(Arc::clone(&engine), dir, SEALED_CACHE_BYTES);
        let partition = check_partition(&handle, entry, &dictionaries);
        handle.close();
        progress(&partition);
        report.partitions.push(partition);
    }
    report.settings = check_settings(data)?;
    Ok(report)
}

/// Tells which groups traces were put in when partitions were sealed.
pub trait Recall: Classify {
    /// Returns the numbers of the groups a tenant has, without [`ALL_TRACES`](crate::ALL_TRACES). Of those that were deleted
    /// nothing is known.
    fn known(&self, tenant: Tenant) -> Vec<u32>;

    /// Returns those among them of which it is not known any more whether a trace was put in them, whose first document
    /// arrived at `first_stamp`.
    fn forgotten(&self, tenant: Tenant, first_stamp: u64) -> Vec<u32>;
}

/// Returns, of a store's settings, which it must not change, and of the account and region of each tenant, what tells
/// their groups; or in words why it cannot.
pub type RecallBy<'a> =
    &'a dyn Fn(&Arc<dyn ControlStore>, &[(String, String)]) -> Result<Arc<dyn Recall>, String>;

/// Does what [`check`] does and, if nothing is damaged, makes again what is derived from documents in sealed partitions,
/// which must be what is stored: summaries, zones, sums over all traces and groups, members, and what the manifest says of
/// them. What rests on documents of partitions that are gone is not made again, nor the sums of groups of which it is not
/// known any more which traces were put in them. `recall_by` is not asked where there are no settings.
///
/// Memory is that of the index of one partition and the sums of its groups, time that of sealing each. `progress` is called
/// at the end.
pub fn check_deep(
    data: &Path,
    recall_by: RecallBy<'_>,
    progress: &mut dyn FnMut(&PartitionReport),
) -> Result<CheckReport, CheckError> {
    let mut report = check(data, &mut |_| {})?;
    if !report.is_damaged() {
        let lock = lock(data)?;
        let manifest: Manifest = migrations::look(data)?;
        let dictionaries = Dictionaries::open(&data.join("dict"))
            .map_err(|source| OpenError::io("reading dictionaries of", data, &source))?;
        let recall = recall(data, &manifest, recall_by, &mut report)?;
        let engine: Arc<dyn Engine> = Arc::new(SledEngine);
        let store = deep::Store::open(data, lock, &manifest, &engine, &dictionaries, recall);
        let store = store.map_err(|error| {
            let source = std::io::Error::other(error.to_string());
            OpenError::io("opening the partitions of", data, &source)
        })?;
        for (entry, partition) in manifest.partitions.iter().zip(&mut report.partitions) {
            store.compare(entry.number, partition);
        }
    }
    report.partitions.iter().for_each(progress);
    Ok(report)
}

/// Asks the settings of a store, whose lock is held, for what tells its groups; nothing if there are none, or if they do
/// not tell, which is a finding.
fn recall(
    data: &Path,
    manifest: &Manifest,
    recall_by: RecallBy<'_>,
    report: &mut CheckReport,
) -> Result<Option<Arc<dyn Recall>>, OpenError> {
    if !data.join(FOLDER).exists() {
        return Ok(None);
    }
    let settings = Arc::new(SledControl::open(data)?);
    let records = Arc::clone(&settings) as Arc<dyn ControlStore>;
    let recall = recall_by(&records, &manifest.tenants);
    // Nothing was put, so there is nothing to lose.
    let _ = settings.close();
    Ok(recall
        .map_err(|finding| report.settings = Some(finding))
        .ok())
}

/// Verifies every record of the settings, if there are any.
fn check_settings(data: &Path) -> Result<Option<String>, OpenError> {
    if !data.join(FOLDER).exists() {
        return Ok(None);
    }
    match SledControl::open(data) {
        Ok(control) => {
            // Nothing was put, so there is nothing to lose.
            let _ = control.close();
            Ok(None)
        }
        Err(error @ OpenError::ControlDamaged { .. }) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

fn check_partition(
    handle: &Handle,
    entry: &PartitionEntry,
    dictionaries: &Dictionaries,
) -> PartitionReport {
    let mut report = PartitionReport {
        folder: entry.folder.clone(),
        is_sealed: entry.sealed.is_some(),
        ..PartitionReport::default()
    };
    if !handle.dir().join("db").is_file() {
        report.finding("its files are missing".to_owned());
        return report;
    }
    // What was derived in an older way is derived again at the next open.
    let has_derived = entry
        .sealed
        .as_ref()
        .is_some_and(|facts| facts.derived == DERIVED);
    let walked = handle.with(|opened| {
        walk(opened, dictionaries, &mut report)?;
        if has_derived {
            walk_derived(opened, dictionaries, &mut report)?;
        }
        Ok(())
    });
    if let Err(error) = walked {
        report.finding(error.to_string());
    }
    if let Some(facts) = &entry.sealed {
        if report.n_documents != facts.n_documents {
            let (found, listed) = (report.n_documents, facts.n_documents);
            report.finding(format!(
                "{found} documents are there and the manifest says {listed}"
            ));
        }
        if let Err(damage) = Members::read(handle.dir(), dictionaries) {
            report.finding(damage.to_string());
        }
    }
    let blobs = std::fs::read_dir(handle.dir().join("blobs"));
    if blobs.is_ok_and(|mut blobs| blobs.next().is_some()) {
        report.finding("there are blob files, which are never synced".to_owned());
    }
    report
}

/// What is verified of a record beyond its checksum.
type Verify<'a> =
    &'a mut dyn FnMut(&[u8], &Record, Vec<u8>, &mut PartitionReport) -> Result<(), Damage>;

fn walk(
    opened: &Opened,
    dictionaries: &Dictionaries,
    report: &mut PartitionReport,
) -> Result<(), EngineError> {
    let limits = DocumentLimits {
        document_bytes_max: usize::MAX,
    };
    let mut each =
        |tree: Tree, verify: Verify<'_>| walk_tree(opened, dictionaries, tree, verify, report);
    each(Tree::Segments, &mut |key, record, payload, report| {
        let (_, trace_id, segment_id) =
            keys::read_segment(key).ok_or_else(|| Damage("not a key of ours".to_owned()))?;
        let text = String::from_utf8(payload).map_err(|error| Damage(error.to_string()))?;
        let segment = Segment::parse(&text, &limits).map_err(|invalid| Damage(invalid.detail))?;
        let is_same = segment.trace_id() == trace_id
            && segment.id() == segment_id
            && segment.in_progress() == record.in_progress;
        if !is_same {
            return Err(Damage(
                "the document is not the one its key names".to_owned(),
            ));
        }
        report.n_documents += 1;
        report.document_bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
        Ok(())
    })?;
    each(Tree::Telemetry, &mut |_, _, _, _| Ok(()))
}

/// Verifies what a sealed partition has beside its documents.
fn walk_derived(
    opened: &Opened,
    dictionaries: &Dictionaries,
    report: &mut PartitionReport,
) -> Result<(), EngineError> {
    let mut each =
        |tree: Tree, verify: Verify<'_>| walk_tree(opened, dictionaries, tree, verify, report);
    each(Tree::Zones, &mut |_, _, payload, _| {
        decode::<Zone>(&payload).map(drop)
    })?;
    each(Tree::Blocks, &mut |key, _, payload, _| {
        let entries: Vec<BlockEntry> = decode(&payload)?;
        let first = entries
            .first()
            .map(|entry| (entry.summary.start, entry.summary.trace_id));
        let named = keys::read_block(key).map(|(_, place)| (place.start, place.trace_id));
        if first == named {
            Ok(())
        } else {
            Err(Damage("its first trace is another".to_owned()))
        }
    })?;
    each(Tree::Graph, &mut |key, _, payload, _| {
        keys::read_graph_hour(key).ok_or_else(|| Damage("not a key of ours".to_owned()))?;
        decode::<StoredHour>(&payload).map(drop)
    })
}

fn walk_tree(
    opened: &Opened,
    dictionaries: &Dictionaries,
    tree: Tree,
    verify: Verify<'_>,
    report: &mut PartitionReport,
) -> Result<(), EngineError> {
    opened.scan_records(tree, &[], &[], dictionaries, &mut |key, read| {
        report.n_records += 1;
        let verified = read.and_then(|(record, payload)| verify(key, &record, payload, report));
        if let Err(damage) = verified {
            report.finding(format!("{} {}: {damage}", tree.name(), hex(key)));
        }
        ControlFlow::Continue(())
    })
}

impl PartitionReport {
    fn finding(&mut self, finding: String) {
        self.n_findings += 1;
        if self.findings.len() < N_FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

fn quarantined(data: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(data.join("quarantine")) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
