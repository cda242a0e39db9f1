//! The calls to librdkafka that its Rust wrapper does not offer: records in batches from one partition's queue,
//! commits answered per partition, and a wake-up instead of a poll. All `unsafe` of the source is here.

use std::ffi::{CStr, CString, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::thread::Thread;

use rdkafka::client::NativeClient;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaRespErr;
use rdkafka_sys as sys;

/// Records taken from a queue by one call.
const TAKEN_AT_ONCE: usize = 1024;

/// What a partition's queue holds.
pub(crate) enum Taken<'a> {
    /// A record, valid until the visitor returns.
    Record(Message<'a>),
    /// The end of the log for now: the position behind all records.
    End(u64),
    /// The fetcher failed.
    Failed(RDKafkaRespErr, String),
}

/// A record in librdkafka's memory.
pub(crate) struct Message<'a>(&'a sys::rd_kafka_message_t);

/// The queue of one assigned partition, taken out of the consumer's.
pub(super) struct PartitionQueue {
    queue: Queue,
    taken: Vec<*mut sys::rd_kafka_message_t>,
}

// SAFETY: `taken` is scratch space whose pointers are used only within `take`.
unsafe impl Send for PartitionQueue {}

/// Where answers to offset commits arrive.
pub(super) struct CommitQueue {
    queue: Queue,
}

/// The answer to one offset commit.
pub(crate) struct CommitAnswer {
    /// The number that the commit was sent with.
    pub(crate) number: u64,
    /// The error of the request as a whole.
    pub(crate) error: RDKafkaRespErr,
    /// The error of each partition.
    pub(crate) partitions: Vec<RDKafkaRespErr>,
}

/// An owned queue handle. Wakes a thread when something arrives in it while it was empty.
struct Queue {
    native: NonNull<sys::rd_kafka_queue_t>,
    waker: *mut Thread,
}

// SAFETY: librdkafka's queues may be used from any thread; the waker is only read by the call-back.
unsafe impl Send for Queue {}

impl Queue {
    fn new(native: *mut sys::rd_kafka_queue_t, wake: &Thread) -> Option<Self> {
        let native = NonNull::new(native)?;
        let waker = Box::into_raw(Box::new(wake.clone()));
        // SAFETY: the queue is live, and the waker outlives it: `drop` disables the call-back first.
        unsafe { sys::rd_kafka_queue_cb_event_enable(native.as_ptr(), Some(unpark), waker.cast()) };
        Some(Self { native, waker })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: disabling takes the queue's lock, so no call-back runs when the waker is freed.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.native.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.native.as_ptr());
            drop(Box::from_raw(self.waker));
        }
    }
}

unsafe extern "C" fn unpark(_: *mut sys::rd_kafka_t, waker: *mut c_void) {
    // SAFETY: `waker` is the boxed thread given to `rd_kafka_queue_cb_event_enable`.
    let thread = unsafe { &*waker.cast::<Thread>() };
    thread.unpark();
}

/// Wakes `thread` whenever the consumer's own queue has an event; stops when the value is dropped.
pub(super) struct EventWaker {
    queue: Queue,
}

impl EventWaker {
    /// `None` when the client is no consumer.
    pub(super) fn new(client: &NativeClient, thread: &Thread) -> Option<Self> {
        // SAFETY: the client is live; the returned queue is a reference of its own.
        let native = unsafe { sys::rd_kafka_queue_get_consumer(client.ptr()) };
        Queue::new(native, thread).map(|queue| Self { queue })
    }

    /// Whether events wait. A poll may use one up (a log line, say) and still return nothing.
    pub(super) fn has_events(&self) -> bool {
        // SAFETY: the queue is live.
        unsafe { sys::rd_kafka_queue_length(self.queue.native.as_ptr()) > 0 }
    }
}

impl PartitionQueue {
    /// Keeps the partition's records out of the consumer's own queue. To be called before `assign`, which leaves a queue
    /// alone that was told where to forward.
    pub(super) fn new(client: &NativeClient, topic: &str, partition: i32, thread: &Thread) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the client is live; forwarding to null makes the queue stand alone.
        let native = unsafe { sys::rd_kafka_queue_get_partition(client.ptr(), topic.as_ptr(), partition) };
        let queue = Queue::new(native, thread)?;
        // SAFETY: as above.
        unsafe { sys::rd_kafka_queue_forward(queue.native.as_ptr(), ptr::null_mut()) };
        Some(Self { queue, taken: vec![ptr::null_mut(); TAKEN_AT_ONCE] })
    }

    /// Hands what is there to `visit`, in order and in place, at most so many; returns how many. Never waits.
    ///
    /// Not `rd_kafka_consume_callback_queue`: it moves the client's position past control messages that a rebalance
    /// has outdated, and sets the whole queue aside meanwhile, so that its bound does not hold. This call counts
    /// events (the end of a partition, a failure) as records; members do not ask for the one, and after the other
    /// the position is not used any more.
    pub(super) fn take(&mut self, at_most: usize, visit: &mut dyn FnMut(&Taken<'_>)) -> usize {
        let (queue, taken) = (self.queue.native.as_ptr(), &mut self.taken);
        let at_most = at_most.min(taken.len());
        // SAFETY: the array has room for `TAKEN_AT_ONCE` messages, which is no less than what is asked for.
        let count = unsafe { sys::rd_kafka_consume_batch_queue(queue, 0, taken.as_mut_ptr(), at_most) };
        let count = usize::try_from(count).unwrap_or(0);
        for message in &taken[..count] {
            // SAFETY: librdkafka filled in a live message, which is ours to destroy.
            visit(&taken_from(unsafe { &**message }));
            // SAFETY: nothing borrows the message any more.
            unsafe { sys::rd_kafka_message_destroy(*message) };
        }
        count
    }
}

fn taken_from(message: &sys::rd_kafka_message_t) -> Taken<'_> {
    match message.err {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Taken::Record(Message(message)),
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => Taken::End(unsigned(message.offset)),
        error => {
            // SAFETY: the text lives as long as the message.
            let text = unsafe { CStr::from_ptr(sys::rd_kafka_message_errstr(message)) };
            Taken::Failed(error, text.to_string_lossy().into_owned())
        }
    }
}

impl Message<'_> {
    /// The record's offset.
    pub(super) fn offset(&self) -> u64 {
        unsigned(self.0.offset)
    }

    /// The record's bytes; `None` for a tombstone.
    pub(super) fn payload(&self) -> Option<&[u8]> {
        // SAFETY: librdkafka gives pointer and length of one allocation that lives as long as the message.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    /// The record's key.
    pub(super) fn key(&self) -> Option<&[u8]> {
        // SAFETY: as for the payload.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    /// Milliseconds since 1970-01-01 UTC, where the record has a time.
    pub(super) fn timestamp(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is live.
        let time = unsafe { sys::rd_kafka_message_timestamp(self.0, &raw mut kind) };
        (time >= 0).then_some(time)
    }

    /// Visits the headers in their order.
    pub(super) fn each_header(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: the headers stay with the message.
        let found = unsafe { sys::rd_kafka_message_headers(self.0, &raw mut headers) };
        if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for at in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: reading past the last header is answered with an error.
            let found = unsafe {
                sys::rd_kafka_header_get_all(headers, at, &raw mut name, &raw mut value, &raw mut size)
            };
            if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            // SAFETY: name and value live as long as the message.
            let (name, value) = unsafe { (CStr::from_ptr(name), bytes(value.cast_mut(), size)) };
            visit(&name.to_string_lossy(), value);
        }
    }
}

impl CommitQueue {
    /// A queue for the answers to this client's commits.
    pub(super) fn new(client: &NativeClient, thread: &Thread) -> Self {
        // SAFETY: the client is live; the new queue is ours.
        let native = unsafe { sys::rd_kafka_queue_new(client.ptr()) };
        Self { queue: Queue::new(native, thread).expect("librdkafka makes a queue or aborts") }
    }

    /// Sends one commit of offsets and metadata; its answer comes into this queue with the same number.
    pub(super) fn commit(
        &self,
        client: &NativeClient,
        offsets: &TopicPartitionList,
        number: u64,
    ) -> Result<(), RDKafkaRespErr> {
        let queue = self.queue.native.as_ptr();
        let number = ptr::without_provenance_mut::<c_void>(usize::try_from(number).unwrap_or(usize::MAX));
        // SAFETY: librdkafka copies the list and hands the number back unread; without a call-back the answer is
        // an event in the queue.
        let error = unsafe { sys::rd_kafka_commit_queue(client.ptr(), offsets.ptr(), queue, None, number) };
        if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(error) }
    }

    /// The next answer, if one is there. Never waits.
    pub(super) fn poll(&self) -> Option<CommitAnswer> {
        // SAFETY: the queue is live; the event is ours to destroy.
        unsafe {
            let event = sys::rd_kafka_queue_poll(self.queue.native.as_ptr(), 0);
            if event.is_null() {
                return None;
            }
            let list = sys::rd_kafka_event_topic_partition_list(event);
            let elements: &[sys::rd_kafka_topic_partition_t] = match list.as_ref() {
                Some(list) if !list.elems.is_null() => {
                    slice::from_raw_parts(list.elems, usize::try_from(list.cnt).unwrap_or(0))
                }
                _ => &[],
            };
            let answer = CommitAnswer {
                number: sys::rd_kafka_event_opaque(event).addr() as u64,
                error: sys::rd_kafka_event_error(event),
                partitions: elements.iter().map(|element| element.err).collect(),
            };
            sys::rd_kafka_event_destroy(event);
            Some(answer)
        }
    }
}

/// The first and last offsets that the fetcher has seen of a partition's log, without asking the broker.
pub(super) fn known_watermarks(client: &NativeClient, topic: &str, partition: i32) -> Option<(u64, u64)> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: both numbers are filled in before the call returns.
    let error = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            client.ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    let known = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0;
    known.then(|| (unsigned(low), unsigned(high)))
}

/// The client's own position in a partition, without asking the broker.
pub(super) fn position(client: &NativeClient, topic: &str, partition: i32) -> Option<u64> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(topic, partition);
    // SAFETY: the client and the list are live; the position is filled into the list.
    let error = unsafe { sys::rd_kafka_position(client.ptr(), list.ptr()) };
    match list.elements().first().map(TopicPartitionListElem::offset) {
        Some(Offset::Offset(offset)) if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {
            u64::try_from(offset).ok()
        }
        _ => None,
    }
}

/// Whether the current assignment is lost, as opposed to asked back.
pub(super) fn assignment_lost(client: &NativeClient) -> bool {
    // SAFETY: the client is live.
    unsafe { sys::rd_kafka_assignment_lost(client.ptr()) != 0 }
}

unsafe fn bytes<'a>(start: *mut c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller vouches for pointer and length.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast::<u8>(), length) })
}

fn unsigned(offset: i64) -> u64 {
    u64::try_from(offset).unwrap_or(0)
}
