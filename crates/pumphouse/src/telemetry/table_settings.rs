//! What is said of settings that follow the rate. The names of the events stand with all others.

use std::fmt;

use super::event;
use crate::fault::{Code, Fault};
use crate::sink::table_settings::Change;

/// Logs a change, with what held before and why.
pub fn setting_changed(stream: &str, url: &str, change: &Change) {
    let Change { database, table, setting, old_value, new_value, rate, revision, .. } = change;
    tracing::info!(
        stream,
        url,
        table = format!("{database}.{table}"),
        setting,
        old_value,
        new_value,
        rate,
        revision,
        "{}",
        event::SETTING_CHANGED
    );
}

/// Logs that a server does not let us change a setting.
pub fn setting_refused(stream: &str, url: &str, (table, setting): (&str, &str), error: &dyn fmt::Display) {
    let code = Code::SettingRefused;
    let fault =
        Fault::new(code, format!("`{setting}` of {table} at {url}"), error.to_string()).advise(format!(
            "GRANT ALTER SETTINGS ON {table}, and SELECT ON system.tables and system.merge_tree_settings"
        ));
    tracing::warn!(stream, code = code.number(), error = %fault, "{}", event::SETTING_REFUSED);
}

/// Logs that a change was not made, since it could not be written down.
pub fn setting_unrecorded(stream: &str, url: &str, change: &Change, error: &dyn fmt::Display) {
    let code = Code::SettingUnrecorded;
    let Change { database, table, setting, .. } = change;
    let on = format!("`{setting}` of {database}.{table} at {url}");
    let fault = Fault::new(code, on, format!("pumphouse.setting_changes can't be written: {error}"))
        .advise("`pumphouse apply` creates the table; GRANT INSERT ON pumphouse.setting_changes");
    tracing::warn!(stream, code = code.number(), error = %fault, "{}", event::SETTING_UNRECORDED);
}
