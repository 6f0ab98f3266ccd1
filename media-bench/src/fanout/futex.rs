//! How often a forwarding process waits for a lock, or wakes who does: a lock that is contended, and
//! every other way to sleep and wake between threads, is a futex call.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::fault::{Doing, Result, missing};

/// A tracer that counts the futex calls of all threads of a process.
pub struct FutexCount {
    tracer: Child,
    output: BufReader<ChildStderr>,
}

impl FutexCount {
    /// Begins to count.
    pub fn begin(pid: u32) -> Result<Self> {
        let mut tracer = Command::new("strace")
            .args(["--follow-forks", "--summary-only", "--trace=futex", "--attach"])
            .arg(pid.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .doing("starting strace")?;
        let mut output = BufReader::new(tracer.stderr.take().ok_or_else(|| missing("its word"))?);
        let mut line = String::new();
        output.read_line(&mut line).doing("waiting for strace")?;
        if !line.contains("attached") {
            return Err(crate::fault::Fault::Other(format!("strace says: {line}")));
        }
        Ok(Self { tracer, output })
    }

    /// The calls so far.
    pub fn end(mut self) -> Result<u64> {
        let pid = self.tracer.id().to_string();
        Command::new("kill").args(["-INT", &pid]).status().doing("ending strace")?;
        let mut summary = String::new();
        self.output.read_to_string(&mut summary).doing("reading strace's summary")?;
        self.tracer.wait().doing("waiting for strace")?;
        Ok(calls(&summary))
    }
}

/// The column `calls` of the line of `futex`: time, seconds, µs a call, calls.
fn calls(summary: &str) -> u64 {
    let line = summary.lines().find(|it| it.trim_end().ends_with("futex"));
    line.and_then(|it| it.split_whitespace().nth(3)?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_from_the_summary_and_none_is_zero() {
        let summary = "\
            % time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.000123           4        31         3 futex\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.000123           4        31         3 total\n";
        assert_eq!(calls(summary), 31);
        assert_eq!(calls("strace: Process 1 detached\n"), 0);
    }
}
