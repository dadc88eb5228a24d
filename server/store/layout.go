package store

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// layout is the format number of everything below. A store written by a newer one is refused.
const layout = 1

// Names of the buckets. They are key-value buckets to NATS' own tools too.
const (
	metaBucket     = "amlgate_meta"     // this table's format, the secret, the epoch
	jobsBucket     = "amlgate_jobs"     // a record a job, written on change only
	requestsBucket = "amlgate_requests" // a record a request id
)

// bucketSpec declares a bucket.
type bucketSpec struct {
	name     string
	history  int64 // revisions kept of a key
	age      time.Duration
	bytes    int64 // of everything in it
	maxValue int32 // of one value, bytes
}

// Retention. A record of a job takes some 600 bytes a change, so a gibibyte is about half a million jobs.
const (
	JobsAge     = 30 * 24 * time.Hour // counted from each revision
	RequestsAge = 24 * time.Hour
)

// specs declares every bucket; a bucket's age is what makes a request id expire, since it is counted from the last write
// and needs no clean-up of its own.
var specs = []bucketSpec{
	{name: metaBucket, history: 1, bytes: 1 << 20, maxValue: 4 << 10},
	{name: jobsBucket, history: 16, age: JobsAge, bytes: 1 << 30, maxValue: 64 << 10},
	{name: requestsBucket, history: 1, age: RequestsAge, bytes: 256 << 20, maxValue: 4 << 10},
}

// maxBytes is what all buckets take together.
func maxBytes() int64 {
	var n int64
	for _, s := range specs {
		n += s.bytes
	}
	return n
}

// stream is a bucket as JetStream declares it: as its key-value clients do, except that reads go to the leader. Any
// replica's answer could be older than what was just refused for being older.
func (s bucketSpec) stream(storage jetstream.StorageType, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "KV_" + s.name, Subjects: []string{"$KV." + s.name + ".>"}, Description: "amlgate",
		MaxMsgsPerSubject: s.history, MaxMsgs: -1, MaxBytes: s.bytes, MaxAge: s.age, MaxMsgSize: s.maxValue + 1<<10, MaxConsumers: -1,
		Storage: storage, Replicas: replicas, Discard: jetstream.DiscardNew, AllowRollup: true, DenyDelete: true,
		Duplicates: time.Minute,
	}
}

// The queue of polls: in memory, since it can be made again from the jobs that have not ended. A key that is in it
// already is refused, which makes adding it again harmless.
const (
	pollsStream   = "AMLGATE_POLLS"
	pollsSubject  = "amlgate.poll."
	pollsConsumer = "pollers"
	maxPolls      = 200_000
)

func pollStream(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: pollsStream, Subjects: []string{pollsSubject + ">"}, Description: "amlgate",
		Retention: jetstream.WorkQueuePolicy, Storage: jetstream.MemoryStorage, Replicas: replicas,
		MaxMsgsPerSubject: 1, MaxMsgs: maxPolls, MaxBytes: 64 << 20, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
		Duplicates: time.Second,
	}
}

// pollConsumer redelivers what is not done after the first step, then the next; the last one repeats. Asking for a later
// redelivery by NAK instead would starve: each one puts off all others.
func pollConsumer(steps []time.Duration) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: pollsConsumer, AckPolicy: jetstream.AckExplicitPolicy, BackOff: steps, MaxDeliver: -1, MaxAckPending: maxPolls,
		MemoryStorage: true,
	}
}
