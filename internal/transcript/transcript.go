// Package transcript writes what calls of Qdrant's API carry as JSON for people to
// read: vectors are shortened, and what looks like a credential is left out.
package transcript

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	_ "github.com/qdrant/go-client/qdrant" // registers Qdrant's schema
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// maxPlain bounds what is made of compressed bytes.
const maxPlain = 16 << 20

var errUnknownMethod = errors.New("the method is not one of Qdrant's that this program knows")

// Request returns the request of a method, "Points/Query", as indented JSON. body is
// as on the wire: a gRPC message with its prefix, compressed or not.
func Request(method string, body []byte) (string, error) { return write(method, body, true) }

// Answer returns the answer likewise.
func Answer(method string, body []byte) (string, error) { return write(method, body, false) }

func write(method string, body []byte, request bool) (string, error) {
	descriptor, err := find(method)
	if err != nil {
		return "", err
	}
	kind := descriptor.Output()
	if request {
		kind = descriptor.Input()
	}
	plain, err := unframe(body)
	if err != nil {
		return "", err
	}
	message := dynamicpb.NewMessage(kind)
	if err := proto.Unmarshal(plain, message); err != nil {
		return "", fmt.Errorf("reading a %s: %w", kind.Name(), err)
	}
	raw, err := protojson.Marshal(message)
	if err != nil {
		return "", fmt.Errorf("writing a %s: %w", kind.Name(), err)
	}
	return shorten(raw)
}

// find returns a method of Qdrant's by the name it is shown under.
func find(method string) (protoreflect.MethodDescriptor, error) {
	service, name, _ := bytes.Cut([]byte(method), []byte("/"))
	for _, prefix := range []string{"qdrant.", ""} {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(prefix + string(service)))
		if err != nil {
			continue
		}
		if s, ok := found.(protoreflect.ServiceDescriptor); ok {
			if m := s.Methods().ByName(protoreflect.Name(name)); m != nil {
				return m, nil
			}
		}
	}
	return nil, errUnknownMethod
}

// unframe returns the message of a gRPC frame.
func unframe(body []byte) ([]byte, error) {
	const prefix = 5
	if len(body) < prefix {
		return nil, fmt.Errorf("a message of %d bytes is none", len(body))
	}
	size := binary.BigEndian.Uint32(body[1:prefix])
	message := body[prefix:]
	if int64(size) != int64(len(message)) {
		return nil, fmt.Errorf("a message of %d bytes says that it has %d", len(message), size)
	}
	if body[0] == 0 {
		return message, nil
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(message))
	if err != nil {
		return nil, fmt.Errorf("unpacking a message: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(unpacked, maxPlain+1))
	if err != nil {
		return nil, fmt.Errorf("unpacking a message: %w", err)
	}
	if len(plain) > maxPlain {
		return nil, fmt.Errorf("a message has more than %d bytes when it is unpacked", maxPlain)
	}
	return plain, nil
}
