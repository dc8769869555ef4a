package memqdrant

import (
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Qdrant prefixes an error with its family; the code follows from the family.

// malformed refuses a request whose fields don't make sense on their own; Qdrant gives these no prefix.
func malformed(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// badInput refuses a request that contradicts the collection.
func badInput(format string, args ...any) error {
	return status.Error(codes.InvalidArgument, "Wrong input: "+fmt.Sprintf(format, args...))
}

func badRequest(why string) error { return status.Error(codes.InvalidArgument, "Bad request: "+why) }

func notFound(format string, args ...any) error {
	return status.Error(codes.NotFound, "Not found: "+fmt.Sprintf(format, args...))
}

func noCollection(name string) error { return notFound("Collection `%s` doesn't exist!", name) }
func noPoint(id pointID) error       { return notFound("No point with id %s found", id) }
func noVectorName(name string) error { return badInput("Not existing vector name error: %s", name) }

func wrongDimension(want, got int) error {
	return badInput("Vector dimension error: expected dim: %d, got %d", want, got)
}

// unsupported refuses what this package leaves out on purpose.
func unsupported(what string) error {
	return status.Errorf(codes.Unimplemented, "memory:// does not do %s; use a real Qdrant for it", what)
}

// invalidBody reports every broken rule of a request at once, or nil when there is none.
func invalidBody(problems []string) error {
	if len(problems) == 0 {
		return nil
	}
	return malformed("Validation error in body: [%s]", strings.Join(problems, "; "))
}

func alreadyExists(collection string) error {
	return status.Errorf(codes.AlreadyExists, "Wrong input: Collection `%s` already exists!", collection)
}
