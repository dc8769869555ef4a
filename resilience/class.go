package resilience

// Class says what repeating a call does. The zero value is the careful one.
type Class uint8

// The classes.
const (
	// Unknown is a method that nobody has classified: it is treated as UnsafeWrite.
	Unknown Class = iota
	// Read changes nothing.
	Read
	// IdempotentWrite leaves the same state however often it is repeated.
	IdempotentWrite
	// UnsafeWrite may fail, or do something else, the second time.
	UnsafeWrite
)

// String returns the class's name as logs and metrics show it.
func (c Class) String() string {
	return [...]string{"unknown", "read", "idempotent_write", "unsafe_write"}[c]
}
