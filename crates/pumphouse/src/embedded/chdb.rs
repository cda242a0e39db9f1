//! ClickHouse in this process: loads the library and lets it run a command line that opens the listeners and sleeps.
//! Only the hidden child does this, so that the library's threads and signal handlers stay away from the pipeline.

use std::ffi::{CStr, CString, OsString, c_char, c_int, c_void};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;

use libloading::Library;
use rustix::process::{Signal, getpid, kill_process};

type QueryCommandLine = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;
type ResultError = unsafe extern "C" fn(*mut c_void) -> *const c_char;

/// Runs the library with `arguments` as `clickhouse local` would take them; returns when its query ends.
///
/// Kills this process at the end of standard input: its guard is gone then.
///
/// # Errors
/// When the library can't be loaded, lacks a function, or its query fails; the text says which.
pub fn serve(library: &Path, arguments: &[OsString]) -> io::Result<()> {
    thread::spawn(die_with_standard_input);
    let arguments: Result<Vec<CString>, _> = [OsString::from("clickhouse").as_os_str()]
        .into_iter()
        .chain(arguments.iter().map(OsString::as_os_str))
        .map(|argument| CString::new(argument.as_bytes()))
        .collect();
    let arguments = arguments?;
    let count = c_int::try_from(arguments.len()).map_err(io::Error::other)?;
    let mut pointers: Vec<*mut c_char> = arguments.iter().map(|text| text.as_ptr().cast_mut()).collect();
    // argv ends with a null.
    pointers.push(std::ptr::null_mut());

    // SAFETY: the file is the library we fetched and checked; its initialisers are those of a ClickHouse program.
    let loaded = unsafe { Library::new(library) }.map_err(io::Error::other)?;
    // Never unloaded: its threads still run when the query has ended.
    let loaded: &'static Library = Box::leak(Box::new(loaded));
    // SAFETY: the types are those of the library's C interface (chdb.h) in the pinned version.
    let run = unsafe { loaded.get::<QueryCommandLine>(b"chdb_query_cmdline") }.map_err(io::Error::other)?;
    // SAFETY: as above.
    let error_of = unsafe { loaded.get::<ResultError>(b"chdb_result_error") }.map_err(io::Error::other)?;
    // SAFETY: `pointers` is a null-terminated argv of `count` strings that outlive the call.
    let result = unsafe { run(count, pointers.as_mut_ptr()) };
    if result.is_null() {
        return Ok(());
    }
    // SAFETY: `result` came from the library and is not null.
    let message = unsafe { error_of(result) };
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a C string that the result owns, and the result is never freed.
    let message = unsafe { CStr::from_ptr(message) };
    Err(io::Error::other(message.to_string_lossy().into_owned()))
}

/// Nothing is worth saving: whoever wanted the data holds the other end of the guard's pipe.
fn die_with_standard_input() {
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    let _ = kill_process(getpid(), Signal::KILL);
}
