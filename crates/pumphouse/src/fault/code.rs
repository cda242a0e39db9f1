//! Every error code: its number, its title, how a process ends by it. The pages are in `docs/errors`.
//! Says nothing of when a code applies; the code that meets the failure does.

use std::fmt;
use std::str::FromStr;

use super::Exit;

/// Writes the enumeration and its tables from one list.
macro_rules! codes {
    ($($name:ident $number:literal $ends:ident $title:literal $next:literal;)*) => {
        /// The kind of a failure, as the operator sees it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = concat!($number, ": ", $title)] $name,)*
        }

        impl Code {
            /// All codes in the order of their numbers.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The code as it is written: `PH-0021`.
            #[must_use]
            pub fn number(self) -> &'static str {
                match self { $(Code::$name => $number,)* }
            }

            /// The failure in a few words.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)* }
            }

            /// What pumphouse usually does next.
            #[must_use]
            pub fn next(self) -> &'static str {
                match self { $(Code::$name => $next,)* }
            }

            /// How `run` ends by this failure; `None` where it goes on.
            #[must_use]
            pub fn ends(self) -> Option<Exit> {
                match self { $(Code::$name => ends::$ends,)* }
            }

            /// The page of this code, in Markdown.
            #[must_use]
            pub fn page(self) -> &'static str {
                match self { $(Code::$name => include_str!(concat!("../../../../docs/errors/", $number, ".md")),)* }
            }
        }
    };
}

/// The words of the list's third column.
mod ends {
    use super::Exit;

    pub(super) const CONFIGURATION: Option<Exit> = Some(Exit::Configuration);
    pub(super) const UNREACHABLE: Option<Exit> = Some(Exit::Unreachable);
    pub(super) const HALTED: Option<Exit> = Some(Exit::Halted);
    pub(super) const FINDINGS: Option<Exit> = Some(Exit::Findings);
    pub(super) const FAILED: Option<Exit> = Some(Exit::Failed);
    pub(super) const NEVER: Option<Exit> = None;
}

codes! {
    // The process and its configuration
    ConfigurationMistakes "PH-0001" CONFIGURATION
        "mistakes in the configuration"
        "nothing was started or changed";
    ConfigurationUnreadable "PH-0002" CONFIGURATION
        "configuration file unreadable"
        "nothing was started or changed";
    ListenAddressTaken "PH-0003" CONFIGURATION
        "address to listen on is taken"
        "nothing was started";
    // Reaching the servers
    ClickHouseUnreachable "PH-0010" UNREACHABLE
        "ClickHouse unreachable at start"
        "the process ends; no offset was moved";
    KafkaUnreachable "PH-0011" UNREACHABLE
        "Kafka unreachable at start"
        "the process ends; no offset was moved";
    TopicMissing "PH-0012" UNREACHABLE
        "topic does not exist"
        "the process ends; no topic is created";
    KafkaRefuses "PH-0013" HALTED
        "Kafka refuses us"
        "the stream halts; nothing was committed by this attempt";
    KafkaProperty "PH-0014" CONFIGURATION
        "Kafka property would break delivery"
        "nothing was started";
    // Inserting
    InsertUnknown "PH-0020" HALTED
        "insert failed for an unknown reason"
        "the stream halts; the claim stays and decides on restart";
    TooManyParts "PH-0021" NEVER
        "too many parts"
        "the same batch is tried again after a pause, until merges have caught up";
    ServerOutOfMemory "PH-0022" NEVER
        "ClickHouse is out of memory"
        "the same batch is tried again after a pause";
    TableReadOnly "PH-0023" NEVER
        "table is read-only"
        "the same batch is tried again until the table takes writes";
    AccessDenied "PH-0024" HALTED
        "ClickHouse denies access"
        "the stream halts; the claim stays";
    TableGone "PH-0025" HALTED
        "table or column missing on the server"
        "the stream halts; the claim stays";
    InsertInDoubt "PH-0026" NEVER
        "insert in doubt"
        "the same rows are sent again under the same token";
    BlockRefused "PH-0027" HALTED
        "server refuses a row or the block"
        "the stream halts; nothing of this batch was written by this attempt";
    DeadlinePassed "PH-0028" NEVER
        "insert past its deadline"
        "no row was written by this attempt; it is sent again while its token decides";
    LettersRefused "PH-0029" HALTED
        "topic of the dead letters refuses them"
        "the stream halts; the claim stays";
    // Claims and offsets
    OffsetOutOfRange "PH-0030" HALTED
        "offset out of range"
        "the stream halts; no offset is reset";
    RecordsGone "PH-0031" HALTED
        "records gone before they were read"
        "the stream halts; the gap is reported";
    ClaimShapeDiffers "PH-0032" HALTED
        "claim of another shape"
        "the stream halts; the claim stays";
    ClaimUndecided "PH-0033" HALTED
        "claim can't be decided"
        "the stream halts; nothing is inserted on a guess";
    ClaimTooOld "PH-0034" HALTED
        "claim too old, and its table can't tell"
        "the stream halts; the token no longer decides";
    CommitUnanswered "PH-0035" NEVER
        "commit unanswered"
        "the lane leaves the group, joins again and reads what is stored";
    ClaimedRangeGone "PH-0036" HALTED
        "claimed range gone from Kafka"
        "the stream halts; the claim stays";
    MetadataTooLarge "PH-0037" HALTED
        "metadata too large"
        "the stream halts; nothing of this batch was inserted";
    TopicRecreated "PH-0038" HALTED
        "topic was recreated"
        "the stream halts; old offsets are not applied to the new topic";
    RecordsDamaged "PH-0039" HALTED
        "records in Kafka's log can't be read"
        "the stream halts before them and the offsets stay";
    // Tables
    TableMissing "PH-0040" HALTED
        "table missing"
        "the stream does not start";
    NoWindow "PH-0041" HALTED
        "table has no deduplication window"
        "the stream does not start";
    EngineInexact "PH-0042" HALTED
        "engine can't be exact"
        "the stream does not start";
    ViewInexact "PH-0043" HALTED
        "view's target can't be exact"
        "the stream does not start";
    ColumnDiffers "PH-0044" HALTED
        "column differs"
        "the stream does not start";
    ServerUntested "PH-0045" HALTED
        "server older than tested"
        "the stream does not start";
    SettingIneffective "PH-0046" HALTED
        "a needed setting is not effective"
        "the stream does not start";
    PartitionKeyImpure "PH-0047" HALTED
        "partition key is not a pure function of the row"
        "the stream does not start";
    // Replaying dead letters
    ReplayUndecided "PH-0050" HALTED
        "replay can't be decided"
        "the replay ends; nothing is inserted on a guess";
    ReplayLogMissing "PH-0051" FINDINGS
        "replay's log is missing"
        "nothing was replayed or deleted";
    ReplayUnderWay "PH-0052" FAILED
        "replay is under way"
        "nothing more is deleted";
    // The window
    InsertWaits "PH-0053" NEVER
        "insert waits for another one in doubt"
        "the insert is sent once the other one has its answer";
    TokenForgotten "PH-0054" NEVER
        "token may be forgotten"
        "the batch is not sent under it again; what no table holds of it is inserted under another one";
    // Gaps, lost places and views
    GapReported "PH-0055" NEVER
        "records deleted before they became rows"
        "they stand in `pumphouse.gaps` and the stream goes on behind them";
    OffsetsLost "PH-0056" HALTED
        "the group's offsets were lost"
        "the stream halts; nothing is inserted twice or skipped";
    ViewThrows "PH-0058" NEVER
        "a view refuses the rows"
        "the same rows are sent again under the same token";
    // Refused rows
    TableRefusesRows "PH-0059" HALTED
        "table refuses too many rows"
        "the stream halts; the claim stays";
    // Auditing
    RecordsMissing "PH-0060" FINDINGS
        "records are missing"
        "nothing was changed";
    RowsDoubled "PH-0061" FINDINGS
        "rows are doubled"
        "nothing was changed; pumphouse removes no rows";
    AuditMute "PH-0062" FINDINGS
        "a table can't be audited"
        "nothing was changed; the other tables are audited";
    RepairUnsafe "PH-0063" FAILED
        "not safe to repair now"
        "nothing was inserted";
    AuditUnanswered "PH-0064" NEVER
        "rows settled lately could not be audited"
        "delivery goes on; these rows are counted as unaudited";
    // After ClickHouse was killed
    RowsUnmended "PH-0065" HALTED
        "rows that a killed server lost can't be brought back"
        "the stream halts; the claim stays";
    RollupInDoubt "PH-0066" NEVER
        "a view's target may lack a batch"
        "the stream goes on; what the view shows is not corrected";
    BatchDoubled "PH-0067" HALTED
        "rows are there twice"
        "the stream halts; the claim stays";
    // Pressure
    PressureUnknown "PH-0068" NEVER
        "pressure unknown"
        "delivery goes on; without readings the valve turns by refused inserts alone";
    ValveShut "PH-0069" NEVER
        "valve shut"
        "records wait in Kafka, nothing is lost, and the valve reopens by itself when merges have caught up";
    // Settings that follow the rate
    SettingRefused "PH-0072" NEVER
        "a table's setting can't be changed"
        "the setting stays as it is and is tried again later; delivery goes on";
    SettingUnrecorded "PH-0073" NEVER
        "a change of a setting can't be written down"
        "the setting stays as it is and is tried again later; delivery goes on";
    // Membership
    GroupSilent "PH-0074" NEVER
        "the consumer group gives no answer"
        "the lane waits, then joins as a new member; no offset was moved";
    // Records
    NotJson "PH-0100" NEVER
        "not JSON"
        "the record becomes a dead letter";
    FieldMissing "PH-0101" NEVER
        "field missing"
        "the record becomes a dead letter";
    NullRefused "PH-0102" NEVER
        "null where the column takes none"
        "the record becomes a dead letter";
    WrongType "PH-0103" NEVER
        "wrong type"
        "the record becomes a dead letter";
    OutOfRange "PH-0104" NEVER
        "out of range"
        "the record becomes a dead letter";
    PrecisionLost "PH-0105" NEVER
        "precision would be lost"
        "the record becomes a dead letter";
    NotATime "PH-0106" NEVER
        "not a valid date or time"
        "the record becomes a dead letter";
    NotAUuid "PH-0107" NEVER
        "not a valid UUID"
        "the record becomes a dead letter";
    NotUtf8 "PH-0108" NEVER
        "not valid UTF-8"
        "the record becomes a dead letter";
    KeyTwice "PH-0109" NEVER
        "key given twice"
        "the record becomes a dead letter";
    TooDeep "PH-0110" NEVER
        "nested too deep"
        "the record becomes a dead letter";
    NotAnObject "PH-0111" NEVER
        "not a JSON object"
        "the record becomes a dead letter";
    LoneSurrogate "PH-0112" NEVER
        "lone surrogate"
        "the record becomes a dead letter";
    EpochUnitUnknown "PH-0113" NEVER
        "number without a declared unit for a time"
        "the record becomes a dead letter";
    MessageEmpty "PH-0114" NEVER
        "message empty"
        "the record becomes a dead letter";
    TombstoneRefused "PH-0115" NEVER
        "tombstone"
        "the record becomes a dead letter";
    NotAName "PH-0116" NEVER
        "not a name of the enum"
        "the record becomes a dead letter";
    NotAnAddress "PH-0117" NEVER
        "not a valid IP address"
        "the record becomes a dead letter";
    TooLargeForColumn "PH-0118" NEVER
        "too large for the column"
        "the record becomes a dead letter";
    NotAnArray "PH-0119" NEVER
        "message can't be taken apart"
        "the record becomes a dead letter";
    SchemaFailed "PH-0120" NEVER
        "fails the JSON Schema"
        "the record becomes a dead letter";
    RowRefused "PH-0121" NEVER
        "ClickHouse refuses the row"
        "the record becomes a dead letter";
    // The servers that tests and the demo bring along
    ToolMissing "PH-0200" FAILED
        "a tool is missing"
        "nothing was started";
    DownloadFailed "PH-0201" FAILED
        "download failed or checksum differs"
        "the file was removed; nothing was started";
    ServerNotStarted "PH-0202" FAILED
        "server did not start"
        "what was started is stopped again";
    DemoCountWrong "PH-0210" FAILED
        "the demo's count does not hold"
        "the demo ends as failed; its folder is kept";
    // What `check` finds in a design
    BatchTooScattered "PH-0211" FINDINGS
        "one batch touches many table partitions"
        "nothing was changed";
    TooManyPartitions "PH-0212" FINDINGS
        "many table partitions are kept"
        "nothing was changed";
    PartsPerSecond "PH-0213" FINDINGS
        "many new parts a second"
        "nothing was changed";
    PartsNearLimit "PH-0214" FINDINGS
        "parts are near a limit"
        "nothing was changed";
    SortingKeyFine "PH-0215" FINDINGS
        "sorting key begins with a nearly unique column"
        "nothing was changed";
    WindowShort "PH-0216" FINDINGS
        "deduplication window is short for the load"
        "nothing was changed";
    UserLimited "PH-0217" FINDINGS
        "the user's limits stand against inserts"
        "nothing was changed";
    NoDelayBeforeRefusal "PH-0218" FINDINGS
        "table refuses inserts before it slows them down"
        "nothing was changed";
    FoldingColumnNotSent "PH-0219" FINDINGS
        "a column that the engine folds by is not sent"
        "nothing was changed";
    FoldsApart "PH-0220" FINDINGS
        "rows that fold lie in different table partitions"
        "nothing was changed";
    FoldingMute "PH-0221" FINDINGS
        "engine folds rows, so an audit can't tell"
        "nothing was changed";
    TtlRewrites "PH-0222" FINDINGS
        "rows do not expire as whole parts"
        "nothing was changed";
    GrantMissing "PH-0223" FINDINGS
        "a grant is missing"
        "nothing was changed";
    ReplicasDiffer "PH-0224" FINDINGS
        "replicas differ"
        "nothing was changed";
    ReplicaReadOnly "PH-0225" FINDINGS
        "a replica is read-only"
        "nothing was changed";
    RetentionShort "PH-0226" FINDINGS
        "the topic keeps records for less than an outage"
        "nothing was changed";
    OffsetsRetentionShort "PH-0227" FINDINGS
        "Kafka forgets offsets within an outage"
        "nothing was changed";
    TooFewCopies "PH-0228" FINDINGS
        "Kafka keeps too few copies"
        "nothing was changed";
    LanesIdle "PH-0229" FINDINGS
        "more lanes than partitions"
        "nothing was changed";
    TopicCompacted "PH-0230" FINDINGS
        "the topic is compacted"
        "nothing was changed";
    MessagesTooLarge "PH-0231" FINDINGS
        "messages may be larger than can be taken"
        "nothing was changed";
    UncleanElection "PH-0232" FINDINGS
        "Kafka may elect a leader that lacks records"
        "nothing was changed";
    RetryDoubles "PH-0233" FINDINGS
        "a retry doubles rows"
        "nothing was changed";
    RetryUntried "PH-0234" FINDINGS
        "deduplication could not be tried"
        "nothing was changed";
    SchemaDiffers "PH-0235" FINDINGS
        "schema and columns disagree"
        "nothing was changed";
    MetadataBounded "PH-0236" FINDINGS
        "Kafka stores less metadata than a claim needs"
        "nothing was changed";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

/// The text is no code's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchCode;

impl FromStr for Code {
    type Err = NoSuchCode;

    /// Reads `PH-0021`, `ph-21`, `0021` and `21` alike.
    fn from_str(text: &str) -> Result<Self, NoSuchCode> {
        let text = text.trim().to_ascii_uppercase();
        let digits = text.strip_prefix("PH").map_or(text.as_str(), |rest| rest.trim_start_matches('-'));
        if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NoSuchCode);
        }
        let number = format!("PH-{digits:0>4}");
        Self::ALL.iter().copied().find(|code| code.number() == number).ok_or(NoSuchCode)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    const SECTIONS: [&str; 4] =
        ["## What failed", "## What pumphouse does next", "## What you can do", "## Why it is so"];

    #[test]
    fn every_page_opens_with_its_number_and_title() {
        for code in Code::ALL {
            let head = format!("# {code}: {}\n", code.title());
            assert!(code.page().starts_with(&head), "docs/errors/{code}.md must open with {head:?}");
        }
    }

    #[test]
    fn every_page_has_the_four_sections_in_order_and_something_in_each() {
        for code in Code::ALL {
            let heads: Vec<&str> = code.page().lines().filter(|line| line.starts_with("## ")).collect();
            assert_eq!(heads, SECTIONS, "docs/errors/{code}.md");
            let bodies = code.page().split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
            assert!(bodies.clone().all(|(_, body)| body.trim().len() > 20), "docs/errors/{code}.md is thin");
        }
    }

    #[test]
    fn every_page_in_the_folder_has_a_code() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        let entries = std::fs::read_dir(folder).expect("the pages are part of the sources");
        let names = entries.map(|entry| entry.expect("the folder can be read").file_name());
        let pages: BTreeSet<String> =
            names.filter_map(|name| Some(name.to_str()?.strip_suffix(".md")?.to_owned())).collect();
        let codes: BTreeSet<String> = Code::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(pages, codes);
    }

    #[test]
    fn numbers_are_unique_and_in_order() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].number() < pair[1].number()));
    }

    #[test]
    fn a_code_is_read_with_and_without_its_letters_and_noughts() {
        for text in ["PH-0021", "ph-0021", "PH0021", "0021", "21", " PH-21 "] {
            assert_eq!(text.parse(), Ok(Code::TooManyParts), "{text}");
        }
        for text in ["", "PH-", "PH-9999", "00021", "parts", "-21", "2é1"] {
            assert_eq!(text.parse::<Code>(), Err(NoSuchCode), "{text}");
        }
    }
}
