package trackopstest

import (
	"time"

	"github.com/trackops-notifier/trackops-notifier/trackops"
)

// Options describe an account. The zero value is a well-behaved one that is
// empty; each field adds records, a limit, or a trait that the vendor's documents
// leave open.
type Options struct {
	Seed uint64 // the same seed and calls give the same account

	Records int            // in each collection at the start
	Sizes   map[string]int // by collection name; wins over Records
	Span    time.Duration  // age of the oldest record; 0 is three years
	Ties    float64        // share of records created in the same second as the one before
	IDs     int64          // added to every id, for ids above 2^53

	// Username and Token are what HTTP clients must present; an empty Token
	// accepts anyone. In-process callers are never asked.
	Username, Token string

	Rate           float64       // requests a second above which 429 answers; 0 is no limit
	RateSlack      time.Duration // how much too early a request may come, for tests on a real clock
	RetryAfter     time.Duration // sent with 429; 0 is no header
	RetryAfterDate bool          // as a date instead of seconds

	Sort       Sort
	TimeFormat trackops.TimeFormat // "" is SQL
	Fraction   bool                // timestamps with milliseconds
	StrictTime bool                // 400 for parameters in another form than TimeFormat
	AsText     bool                // numbers and booleans come as strings

	MaxPerPage  int     // larger pages are cut to it silently; 0 is 100
	RefuseLarge bool    // 400 for per_page above 100 instead
	PastEnd     PastEnd // what a page past the end answers
	Lenient     bool    // unknown parameters are ignored; else 400

	NullUpdated bool // creation leaves updated_at null, so updated_from does not find it
	OldUpdated  bool // restoring a record leaves its updated_at

	Skew      time.Duration // the account's clock less ours
	StampSkew time.Duration // what stamps records, less the account's clock: local times taken for UTC, say
	Lag       time.Duration // between a write and its visibility
	Latency   time.Duration // of an answer

	Quirks map[string]Quirks // by collection name, "*" for the others

	// Weights are the collections' shares in random life; nil is plausible ones.
	Weights map[string]float64
	Silent  float64 // share of random changes that do not move updated_at

	FaultRate float64 // share of requests that get one of Faults at random
	Faults    []Fault

	Keep   int  // newest entries of the logs of requests and mutations to keep; 0 is all
	Frugal bool // encode records at each answer instead of keeping them encoded
}

// Sort is the key behind dir=asc and dir=desc. Ties are in arbitrary order.
type Sort string

// The sort keys an account may use.
const (
	ByID       Sort = "id" // the default
	ByCreated  Sort = "created"
	ByBusiness Sort = "business" // the date users set, or an event's start
)

// PastEnd is the answer to a page past the end of a list.
type PastEnd string

// What a page past the end may answer.
const (
	EmptyPage    PastEnd = "empty" // [], the default
	NotFoundPage PastEnd = "404"
	NullPage     PastEnd = "null"
)

// Quirks are the traits of one collection.
type Quirks struct {
	// Refused parameters answer 400.
	NoCount, NoUpdatedFrom, NoCreated bool
	NoCombination                     bool // of filters by creation and by update
	// Ignored ones are taken and do nothing.
	IgnoreCount, IgnoreUpdatedFrom, IgnoreCreated bool

	Denied int // status of every answer of the collection, if not 0: 403, 404
}

// A Fault is what one request gets instead of, or on the way to, its answer.
// In-process callers get the error a [trackops.Client] would have made of it.
type Fault struct {
	Collection string        // "" is any
	Times      int           // how often; 0 is once, below 0 for ever
	Delay      time.Duration // before anything else
	Status     int           // with an error body
	RetryAfter string        // the header, with Status
	HTML       bool          // an HTML page, of status 200 unless Status is set
	Body       string        // this body, of status 200 unless Status is set
	Cut        bool          // the connection ends in the middle of the body
	Reset      bool          // the connection is reset without an answer
}
