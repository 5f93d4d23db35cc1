//! The stand-in's commands, answered as a standalone mongod 6.0 answers them.
//!
//! Unknown commands are refused with mongod's error. Unsupported options are refused with an error that names them.

use std::{net::SocketAddr, sync::Mutex};

use bson::{
    DateTime,
    raw::{CStr, RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf, cstr},
    rawdoc,
};

use super::{
    cursors::{Cursors, OpenCursor},
    filter::Filter,
    store::Store,
};
use crate::{
    limits::{MAX_DOCUMENTS, MAX_MESSAGE_BYTES, STANDIN_DOCUMENT_BYTES, STANDIN_FIRST_BATCH},
    mongo::{CommandFailure, CommandResult, Request, integer},
};

/// The arguments of every command.
pub(super) struct StandInContext<'a> {
    pub(super) data: &'a Mutex<StandInData>,
    pub(super) peer: SocketAddr,
    /// The connection's number, from 1.
    pub(super) connection: u64,
}

/// The state that all connections share.
#[derive(Debug, Default)]
pub(super) struct StandInData {
    pub(super) store: Store,
    pub(super) cursors: Cursors,
}

type CommandFn = fn(&StandInContext<'_>, &Request) -> CommandResult;

/// The commands by name, in both spellings if mongod has two.
pub(super) const COMMANDS: [(&str, CommandFn); 15] = [
    ("hello", hello),
    ("isMaster", is_master),
    ("ismaster", is_master),
    ("ping", nothing),
    ("endSessions", nothing),
    ("buildInfo", build_info),
    ("buildinfo", build_info),
    ("whatsmyuri", whats_my_uri),
    ("insert", insert),
    ("find", find),
    ("getMore", get_more),
    ("killCursors", kill_cursors),
    ("count", count),
    ("aggregate", aggregate),
    ("getParameter", unknown),
];

/// The index of a command in [`COMMANDS`].
pub(super) fn place(name: &str) -> Option<usize> {
    COMMANDS.iter().position(|(known, _)| *known == name)
}

/// The document that answers a request.
pub(super) fn answer(context: &StandInContext<'_>, request: &Request) -> RawDocumentBuf {
    let command = place(&request.name).map_or(unknown as CommandFn, |place| COMMANDS[place].1);
    command(context, request).unwrap_or_else(|failure| failure.document())
}

fn unknown(_: &StandInContext<'_>, request: &Request) -> CommandResult {
    Err(CommandFailure::new((59, "CommandNotFound"), format!("no such command: '{}'", request.name)))
}

fn nothing(_: &StandInContext<'_>, _: &Request) -> CommandResult {
    Ok(rawdoc! { "ok": 1.0 })
}

fn hello(context: &StandInContext<'_>, _: &Request) -> CommandResult {
    Ok(topology(context, cstr!("isWritablePrimary")))
}

fn is_master(context: &StandInContext<'_>, _: &Request) -> CommandResult {
    Ok(topology(context, cstr!("ismaster")))
}

/// The reply has no `topologyVersion`, so that drivers poll; no session timeout, so that they use neither sessions nor
/// retryable writes; and no compressors.
fn topology(context: &StandInContext<'_>, primary: &CStr) -> RawDocumentBuf {
    let mut answer = RawDocumentBuf::new();
    answer.append(cstr!("helloOk"), true);
    answer.append(primary, true);
    answer.append(cstr!("maxBsonObjectSize"), int(STANDIN_DOCUMENT_BYTES));
    answer.append(cstr!("maxMessageSizeBytes"), int(MAX_MESSAGE_BYTES));
    answer.append(cstr!("maxWriteBatchSize"), int(MAX_DOCUMENTS));
    answer.append(cstr!("localTime"), DateTime::now());
    answer.append(cstr!("connectionId"), i32::try_from(context.connection).unwrap_or(i32::MAX));
    answer.append(cstr!("minWireVersion"), 0);
    // The version of MongoDB 6.0.
    answer.append(cstr!("maxWireVersion"), 17);
    answer.append(cstr!("readOnly"), false);
    answer.append(cstr!("ok"), 1.0);
    answer
}

fn build_info(_: &StandInContext<'_>, _: &Request) -> CommandResult {
    Ok(rawdoc! {
        "version": "6.0.0",
        "versionArray": [6, 0, 0, 0],
        "gitVersion": "tlsramp-standin",
        "modules": [],
        "bits": 64,
        "debug": false,
        "maxBsonObjectSize": int(STANDIN_DOCUMENT_BYTES),
        "ok": 1.0,
    })
}

fn whats_my_uri(context: &StandInContext<'_>, _: &Request) -> CommandResult {
    Ok(rawdoc! { "you": context.peer.to_string(), "ok": 1.0 })
}

fn insert(context: &StandInContext<'_>, request: &Request) -> CommandResult {
    only(request, &["ordered", "documents", "bypassDocumentValidation"])?;
    let namespace = namespace(request, "insert")?;
    let ordered = request.command.get_bool("ordered").unwrap_or(true);
    let mut documents = request.documents.clone();
    if let Ok(array) = request.command.get_array("documents") {
        for value in array {
            let document = value.ok().and_then(RawBsonRef::as_document);
            documents.push(document.ok_or_else(|| CommandFailure::bad_value("'documents' is malformed"))?.to_owned());
        }
    }
    if documents.is_empty() || documents.len() > MAX_DOCUMENTS {
        let text = format!("Write batch sizes must be between 1 and {MAX_DOCUMENTS}. Got {}", documents.len());
        return Err(CommandFailure::new((16, "InvalidLength"), text));
    }

    let data = &mut *lock(context.data);
    let (mut inserted, mut errors, mut failed) = (0, RawArrayBuf::new(), false);
    for (index, document) in documents.into_iter().enumerate() {
        match data.store.insert(&namespace, document) {
            Ok(()) => inserted += 1,
            Err(failure) => {
                failed = true;
                errors.push(rawdoc! { "index": int(index), "code": failure.number(), "errmsg": failure.text });
                if ordered {
                    break;
                }
            }
        }
    }
    let mut answer = rawdoc! { "n": int(inserted) };
    if failed {
        answer.append(cstr!("writeErrors"), errors);
    }
    answer.append(cstr!("ok"), 1.0);
    Ok(answer)
}

fn find(context: &StandInContext<'_>, request: &Request) -> CommandResult {
    only(request, &["filter", "limit", "batchSize", "singleBatch", "noCursorTimeout", "allowDiskUse"])?;
    let namespace = namespace(request, "find")?;
    let filter = filter(request, "filter")?;
    let limit = match number(request, "limit")? {
        None | Some(0) => usize::MAX,
        Some(limit) => limit,
    };
    let size = number(request, "batchSize")?.unwrap_or(STANDIN_FIRST_BATCH);
    let single = request.command.get_bool("singleBatch").unwrap_or(false);

    let data = &mut *lock(context.data);
    let mut cursor = OpenCursor::new(&data.store, namespace.clone(), filter, limit);
    let batch = cursor.batch(&data.store, size);
    let id = if single { 0 } else { data.cursors.keep(cursor) };
    Ok(rawdoc! { "cursor": { "firstBatch": batch, "id": id, "ns": namespace }, "ok": 1.0 })
}

fn get_more(context: &StandInContext<'_>, request: &Request) -> CommandResult {
    only(request, &["collection", "batchSize"])?;
    let id =
        request.command.get_i64("getMore").map_err(|_| CommandFailure::bad_value("'getMore' requires a cursor id"))?;
    let namespace = namespace(request, "collection")?;
    // As in mongod: without a batch size, or with 0, as many documents as fit.
    let size = number(request, "batchSize")?.filter(|size| *size > 0).unwrap_or(usize::MAX);
    let data = &mut *lock(context.data);
    let (batch, id) = data.cursors.more(&data.store, id, &namespace, size)?;
    Ok(rawdoc! { "cursor": { "nextBatch": batch, "id": id, "ns": namespace }, "ok": 1.0 })
}

fn kill_cursors(context: &StandInContext<'_>, request: &Request) -> CommandResult {
    only(request, &["cursors"])?;
    let cursors =
        request.command.get_array("cursors").map_err(|_| CommandFailure::bad_value("'cursors' must be an array"))?;
    let data = &mut *lock(context.data);
    let (mut killed, mut not_found) = (RawArrayBuf::new(), RawArrayBuf::new());
    for id in cursors.into_iter().flatten().filter_map(integer) {
        let list = if data.cursors.kill(id) { &mut killed } else { &mut not_found };
        list.push(id);
    }
    let none = RawArrayBuf::new();
    Ok(rawdoc! {
        "cursorsKilled": killed,
        "cursorsNotFound": not_found,
        "cursorsAlive": none.clone(),
        "cursorsUnknown": none,
        "ok": 1.0,
    })
}

fn count(context: &StandInContext<'_>, request: &Request) -> CommandResult {
    only(request, &["query", "limit", "skip", "fields"])?;
    let namespace = namespace(request, "count")?;
    let filter = filter(request, "query")?;
    let found = lock(context.data).store.count(&namespace, &filter);
    let found = found.saturating_sub(number(request, "skip")?.unwrap_or(0));
    let limit = number(request, "limit")?.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    Ok(rawdoc! { "n": int(found.min(limit)), "ok": 1.0 })
}

/// Supports only the pipeline that drivers use to count documents:
/// `[{$match: QUERY}, {$group: {_id: 1, n: {$sum: 1}}}]`.
fn aggregate(context: &StandInContext<'_>, request: &Request) -> CommandResult {
    only(request, &["pipeline", "cursor", "allowDiskUse"])?;
    let namespace = namespace(request, "aggregate")?;
    let refused = || {
        CommandFailure::bad_value(
            "the stand-in supports only the aggregation that drivers use to count: $match, then $group with $sum",
        )
    };
    let pipeline = request.command.get_array("pipeline").map_err(|_| refused())?;
    let stages: Vec<_> = pipeline.into_iter().take(3).collect::<Result<_, _>>().map_err(|_| refused())?;
    let counts = rawdoc! { "_id": 1, "n": { "$sum": 1 } };
    let [matching, group] = stages[..] else { return Err(refused()) };
    let query = stage(matching, "$match").ok_or_else(refused)?;
    if stage(group, "$group") != Some(&*counts) {
        return Err(refused());
    }
    let found = lock(context.data).store.count(&namespace, &Filter::new(query)?);
    let mut batch = RawArrayBuf::new();
    if found > 0 {
        batch.push(rawdoc! { "_id": 1, "n": int(found) });
    }
    Ok(rawdoc! { "cursor": { "firstBatch": batch, "id": 0_i64, "ns": namespace }, "ok": 1.0 })
}

/// The content of an aggregation stage, if the stage has this name.
fn stage<'a>(stage: RawBsonRef<'a>, name: &str) -> Option<&'a RawDocument> {
    stage.as_document()?.get_document(name).ok()
}

/// Refuses unsupported options, except those that any command may have.
fn only(request: &Request, options: &[&str]) -> Result<(), CommandFailure> {
    const EVERY: [&str; 9] = [
        "$db",
        "lsid",
        "$readPreference",
        "$clusterTime",
        "comment",
        "maxTimeMS",
        "readConcern",
        "writeConcern",
        "apiVersion",
    ];
    let known = |key: &str| key == request.name || EVERY.contains(&key) || options.contains(&key);
    match request.command.iter().flatten().find(|(key, _)| !known(key.as_str())) {
        Some((key, _)) => {
            Err(CommandFailure::bad_value(format!("the stand-in's '{}' does not support '{key}'", request.name)))
        }
        None => Ok(()),
    }
}

/// Returns `db.collection`; the collection's name is the value of `field`.
fn namespace(request: &Request, field: &str) -> Result<String, CommandFailure> {
    let collection = request.command.get_str(field).unwrap_or_default();
    let namespace = format!("{}.{collection}", request.database);
    // 255 bytes: mongod's limit for a namespace.
    if collection.is_empty() || request.database.is_empty() || namespace.len() > 255 {
        return Err(CommandFailure::new((73, "InvalidNamespace"), format!("'{field}' is not a collection name")));
    }
    Ok(namespace)
}

/// A query; if the field is missing, all documents match.
fn filter(request: &Request, field: &str) -> Result<Filter, CommandFailure> {
    request.command.get_document(field).map_or_else(|_| Ok(Filter::default()), |query: &RawDocument| Filter::new(query))
}

/// A whole number of any numeric type, not negative; `None` if the field is missing.
fn number(request: &Request, field: &str) -> Result<Option<usize>, CommandFailure> {
    let Ok(Some(value)) = request.command.get(field) else { return Ok(None) };
    let number = integer(value).and_then(|number| usize::try_from(number).ok());
    number.map(Some).ok_or_else(|| CommandFailure::bad_value(format!("'{field}' must be a whole number from 0")))
}

/// A count as BSON. All counts are bounded far below `i32::MAX`.
fn int(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Locks the data. Poisoning is ignored: no command leaves the data partly changed.
pub(super) fn lock(data: &Mutex<StandInData>) -> std::sync::MutexGuard<'_, StandInData> {
    data.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
