//! Records as server-sent events.

use std::io::Write as _;

use aod_log::{Flags, Kind, Reader, Record};

use super::escape::string;

/// A batch is handed over when it has grown to this many bytes.
pub(crate) const BATCH: usize = 256 << 10;

/// Where encoding a log's records has got to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// The id after which it began; history up to there may have been purged.
    pub(super) after: u64,
    /// Whether an output event was met.
    pub(super) met_output: bool,
}

/// Appends what there is to read, up to a batch, the event `until`, or a terminal event, the turn
/// of which is returned.
pub(super) fn fill(
    batch: &mut Vec<u8>,
    reader: &mut Reader,
    progress: &mut Progress,
    until: Option<u64>,
) -> aod_log::Result<Option<u32>> {
    while batch.len() < BATCH && until.is_none_or(|until| reader.last_id() < until) {
        let Some(record) = reader.next()? else {
            break;
        };
        if !record.is_numbered() {
            continue;
        }
        if record.kind.is_output() {
            let purged = !progress.met_output && record.id > progress.after + 1;
            if record.flags.contains(Flags::FIRST) || purged {
                turn_start(batch, &record);
            }
            progress.met_output = true;
        }
        encode(batch, &record);
        if record.kind.is_terminal() {
            return Ok(Some(record.turn));
        }
    }
    Ok(None)
}

/// Writes an event from a value.
pub(super) fn event(batch: &mut Vec<u8>, id: Option<u64>, data: &serde_json::Value) {
    if let Some(id) = id {
        put(batch, format_args!("id: {id}\n"));
    }
    put(batch, format_args!("data: {data}\n\n"));
}

/// Writes the event that precedes a turn's first output. It has that event's id and no `id:`
/// line, so that a client that resumes after it is given that event.
fn turn_start(batch: &mut Vec<u8>, record: &Record<'_>) {
    let (id, turn) = (record.id, record.turn);
    put(
        batch,
        format_args!("data: {{\"type\":\"turn_start\",\"id\":{id},\"turn\":{turn}}}\n\n"),
    );
}

/// Writes a numbered record as an event.
fn encode(batch: &mut Vec<u8>, record: &Record<'_>) {
    let id = record.id;
    let start = batch.len();
    let (kind, stream) = match record.kind {
        Kind::Stdout => ("output", "stdout"),
        Kind::Stderr => ("output", "stderr"),
        Kind::Stage => ("stage", ""),
        Kind::Exit => ("exit", ""),
        Kind::Error => ("error", ""),
        Kind::Terminated => ("terminated", ""),
        // `is_numbered` has ruled out the others.
        _ => return,
    };
    // A million of these are a second's work: they are put together by hand.
    let mut number = itoa::Buffer::new();
    let number = number.format(id);
    let parts = [
        "id: ",
        number,
        "\ndata: {\"type\":\"",
        kind,
        "\",\"id\":",
        number,
    ];
    append(batch, &parts);
    if record.kind.is_output() {
        append(batch, &[",\"stream\":\"", stream, "\",\"data\":"]);
        string(batch, record.text());
        let mut turn = itoa::Buffer::new();
        append(batch, &[",\"turn\":", turn.format(record.turn), "}\n\n"]);
    } else {
        // The payload is an object of ours: its fields follow the two above.
        let fields = record.text().strip_prefix('{').unwrap_or("}");
        if fields.trim_start() != "}" {
            batch.push(b',');
        }
        batch.extend_from_slice(fields.as_bytes());
        batch.extend_from_slice(b"\n\n");
    }
    escape_line_ends(batch, start);
}

fn append(batch: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        batch.extend_from_slice(part.as_bytes());
    }
}

/// Escapes what Unicode calls a line's end and JSON does not: U+0085, U+2028 and U+2029. The
/// standard ends lines at CR and LF only, but clients are out there that split the stream as
/// Python's `splitlines` does, and would lose the event.
pub(crate) fn escape_line_ends(batch: &mut Vec<u8>, start: usize) {
    if memchr::memchr2(0xC2, 0xE2, &batch[start..]).is_none() {
        return;
    }
    let Ok(text) = std::str::from_utf8(&batch[start..]) else {
        return;
    };
    if !text.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        return;
    }
    // Outside of strings JSON has only ASCII, so all of them stand in strings.
    let escaped = text
        .replace('\u{85}', "\\u0085")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029");
    batch.truncate(start);
    batch.extend_from_slice(escaped.as_bytes());
}

pub(crate) fn put(batch: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = batch.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use aod_log::Meta;

    use super::*;

    fn encoded(kind: Kind, payload: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("log");
        let mut writer = aod_log::Writer::open(&dir, aod_log::Options::default()).unwrap();
        let mut batch = aod_log::Batch::new();
        batch
            .push(Meta::new(kind, 2, 0), payload.as_bytes())
            .unwrap();
        writer.append(&mut batch).unwrap();
        let mut reader = Reader::open(&dir).unwrap();
        let mut out = Vec::new();
        encode(&mut out, &reader.next().unwrap().unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn events_are_one_line_of_json_with_their_id() {
        assert_eq!(
            encoded(Kind::Stdout, "a \"b\"\r\nâ\u{85}\u{2028}€"),
            "id: 1\ndata: {\"type\":\"output\",\"id\":1,\"stream\":\"stdout\",\"data\":\"a \\\"b\\\"\\r\\nâ\\u0085\\u2028€\",\"turn\":2}\n\n"
        );
        assert_eq!(
            encoded(Kind::Exit, "{\"code\":0}"),
            "id: 1\ndata: {\"type\":\"exit\",\"id\":1,\"code\":0}\n\n"
        );
        assert_eq!(
            encoded(Kind::Terminated, "{}"),
            "id: 1\ndata: {\"type\":\"terminated\",\"id\":1}\n\n"
        );
    }
}
