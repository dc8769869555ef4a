package h2_test

import (
	"bytes"
	"encoding/binary"
	"slices"

	"golang.org/x/net/http2"
	"pgregory.net/rapid"

	"qdrant-sidecar/internal/faultwire"
)

// someFrames draws what a client sends: calls, some of them odd, and now and then a
// frame that belongs nowhere.
func someFrames() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		var all [][]byte
		for i := range rapid.IntRange(1, 5).Draw(t, "calls") {
			frames := someCall(t, uint32(2*i+1))
			if rapid.IntRange(0, 3).Draw(t, "disturbed") == 0 {
				frames = slices.Insert(frames, rapid.IntRange(0, len(frames)).Draw(t, "at"), someFrame(t))
			}
			all = append(all, frames...)
		}
		return bytes.Join(all, nil)
	})
}

// someCall draws a call that is complete, though not always right.
func someCall(t *rapid.T, id uint32) (list [][]byte) {
	pieces := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 4), 0, 3).Draw(t, "pieces")
	trailer := rapid.IntRange(0, 4).Draw(t, "trailer") == 0
	header, cut := someBlock(t), 0
	if rapid.IntRange(0, 3).Draw(t, "continued") == 0 {
		cut = rapid.IntRange(0, len(header)).Draw(t, "cut")
	} else {
		cut = len(header)
	}
	list = append(list, frames(func(f *http2.Framer) {
		f.WriteHeaders(http2.HeadersFrameParam{
			StreamID: id, BlockFragment: header[:cut], EndHeaders: cut == len(header),
			EndStream: len(pieces) == 0 && !trailer, PadLength: uint8(rapid.IntRange(0, 3).Draw(t, "padding")),
		})
		if cut < len(header) {
			f.WriteContinuation(id, true, header[cut:])
		}
	}))
	for i, data := range pieces {
		pad := make([]byte, rapid.IntRange(0, 3).Draw(t, "padding"))
		list = append(list, frames(func(f *http2.Framer) { f.WriteDataPadded(id, i == len(pieces)-1 && !trailer, data, pad) }))
	}
	if trailer {
		list = append(list, frames(func(f *http2.Framer) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, EndStream: true, BlockFragment: someBlock(t)})
		}))
	}
	return list
}

// someFrame draws a frame: most of them legal somewhere, few of them everywhere.
func someFrame(t *rapid.T) []byte {
	id := rapid.SampledFrom([]uint32{1, 1, 1, 3, 3, 5, 7, 2, 0}).Draw(t, "stream")
	flags := http2.Flags(rapid.SampledFrom([]byte{0, 1, 4, 4, 5, 5, 5, 8, 9, 12, 13, 0x20, 0x25}).Draw(t, "flags"))
	kind := rapid.SampledFrom([]http2.FrameType{
		http2.FrameHeaders, http2.FrameHeaders, http2.FrameHeaders, http2.FrameData, http2.FrameData, http2.FrameData,
		http2.FrameContinuation, http2.FramePriority, http2.FrameRSTStream, http2.FrameWindowUpdate, http2.FramePing, http2.FrameSettings, 0x21,
	}).Draw(t, "type")
	var payload []byte
	switch kind {
	case http2.FrameHeaders, http2.FrameContinuation:
		payload = someBlock(t)
	case http2.FrameRSTStream, http2.FrameWindowUpdate:
		payload = binary.BigEndian.AppendUint32(nil, rapid.SampledFrom([]uint32{0, 1, 8, 65535, 1<<31 - 1}).Draw(t, "number"))
	case http2.FramePriority:
		payload = []byte{0, 0, 0, byte(rapid.IntRange(0, 3).Draw(t, "parent")), 7}
	case http2.FramePing:
		payload, id = make([]byte, 8), 0
	case http2.FrameSettings:
		id, flags = 0, 0
		payload = binary.BigEndian.AppendUint16(nil, uint16(rapid.IntRange(0, 8).Draw(t, "setting")))
		payload = binary.BigEndian.AppendUint32(payload, rapid.SampledFrom([]uint32{0, 1, 2, 100, 16384, 65535, 1 << 31}).Draw(t, "value"))
	default:
		payload = rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "payload")
	}
	if flags.Has(http2.FlagHeadersPriority) && kind == http2.FrameHeaders {
		payload = append([]byte{0, 0, 0, byte(rapid.IntRange(0, 3).Draw(t, "parent")), 7}, payload...)
	}
	if flags.Has(http2.FlagDataPadded) && (kind == http2.FrameHeaders || kind == http2.FrameData) {
		pad := rapid.IntRange(0, 5).Draw(t, "padding")
		payload = append(append([]byte{byte(pad)}, payload...), make([]byte, pad)...)
	}
	if rapid.IntRange(0, 30).Draw(t, "cut") == 0 && len(payload) > 0 {
		payload = payload[1:]
	}
	return frames(func(f *http2.Framer) { f.WriteRawFrame(kind, flags, id, payload) })
}

// someBlock draws a header block, mostly a request's.
func someBlock(t *rapid.T) []byte {
	fields := faultwire.GRPCRequest("/a/B")
	extra := rapid.SliceOfN(rapid.SampledFrom([][2]string{
		{"x", ""}, {"x", "1"}, {"x", "2"}, {"blob-bin", "AP8"}, {"te", "trailers"}, {"te", "gzip"}, {"connection", "close"}, {"X", "upper"},
		{"content-length", "4"}, {"content-length", "0"}, {"content-length", "x"}, {":path", "/late"}, {"", "unnamed"}, {"host", "h"},
		{"a b", "1"}, {"x", "line\nbreak"}, {"x", " space "}, {"x", "\x00"}, {"x", "\xff"}, {"cookie", "a=b"}, {"upgrade", "h2c"}, {":x", ""}, {":path", "/twice"},
	}), 0, 4).Draw(t, "extra")
	for _, pair := range extra {
		fields = fields.With(pair[0], pair[1])
	}
	switch drop := rapid.IntRange(-20, len(fields)-1).Draw(t, "drop"); {
	case drop >= 0:
		fields = append(fields[:drop:drop], fields[drop+1:]...)
	case drop > -4:
		fields = fields[6:] // a trailer's
	case drop == -4:
		return nil
	}
	return block(fields)
}
