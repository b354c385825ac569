package mockserver

// Class is the stable identifier of a kind of violation.
type Class string

// The classes of violations.
const (
	UnknownOperation Class = "unknown-operation" // no operation has this path
	Method           Class = "method"            // the path has no operation by this method
	ContentType      Class = "content-type"      // the body is not declared as JSON
	BodyNotJSON      Class = "body-not-json"     // the body is missing, or not one JSON value
	TrailingData     Class = "trailing-data"     // something follows the JSON value
	DuplicateKey     Class = "duplicate-key"     // an object has two members of one name
	WrongCase        Class = "wrong-case"        // a member's name differs from a known one by case alone
	UnknownField     Class = "unknown-field"     // a member that the contract does not know
	MissingField     Class = "missing-field"     // a required member is not there
	Type             Class = "type"              // a value has the wrong JSON type
	Enum             Class = "enum"              // a value is none of those that are allowed
	Format           Class = "format"            // a text does not have the form that is asked for
	Bound            Class = "bound"             // a value is too small, too large, too short or too long
	Null             Class = "null"              // null where a value is expected
	AuthMissing      Class = "auth-missing"      // a header of the signature is not there
	AuthMalformed    Class = "auth-malformed"    // a header of the signature cannot be read
	AuthStale        Class = "auth-stale"        // the signature is older than 7,200 seconds
	AuthFuture       Class = "auth-future"       // the signature is from the future
	AuthHash         Class = "auth-hash"         // the hash is not the one of this token and time
	AuthUser         Class = "auth-user"         // nobody has this user id
	StateConflict    Class = "state-conflict"    // what is asked for cannot be done to this thing now
	NotFound         Class = "not-found"         // nothing that the account may see has this identifier
	TooLarge         Class = "too-large"         // the body is larger than the server reads
)

// Classes are all classes of violations, in the order of the documentation.
var Classes = []Class{
	UnknownOperation, Method, ContentType, BodyNotJSON, TrailingData, DuplicateKey, WrongCase, UnknownField, MissingField,
	Type, Enum, Format, Bound, Null, AuthMissing, AuthMalformed, AuthStale, AuthFuture, AuthHash, AuthUser, StateConflict,
	NotFound, TooLarge,
}

// Severity says how much a class of violation matters.
type Severity string

// The severities.
const (
	// SeverityError breaks the contract: the report says so, and under ContractStrict the request is refused. It is the
	// default of every class.
	SeverityError Severity = "error"
	// SeverityWarning is reported, and the request is served as well as it can be.
	SeverityWarning Severity = "warning"
	// SeverityOff is neither noted nor refused.
	SeverityOff Severity = "off"
)

// Violation is one way in which a request broke the contract.
type Violation struct {
	Class Class `json:"class"`
	// Pointer is the JSON pointer of the place in the request body; empty for the body as a whole, or when it is not
	// about the body.
	Pointer string `json:"pointer,omitempty"`
	// Text is one sentence that says what is wrong and what to do.
	Text string `json:"text"`
	// Meant is the member that was probably meant, if one is near.
	Meant string `json:"meant,omitempty"`
	// Severity is how much it matters.
	Severity Severity `json:"severity"`
}
