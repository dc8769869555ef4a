package rest

import (
	"net/http"

	"qdrant-sidecar/resilience"
)

// kind says what else matters about a route.
type kind uint8

const (
	// lasting takes as long as there is data, or as the cluster needs.
	lasting kind = iota
	// slow takes its time, and then says it in one piece.
	slow
	// quick begins to answer in the time of a read.
	quick
	// health asks whether Qdrant is well.
	health
)

const (
	get    = http.MethodGet
	put    = http.MethodPut
	post   = http.MethodPost
	patch  = http.MethodPatch
	remove = http.MethodDelete

	read   = resilience.Read
	unsafe = resilience.UnsafeWrite
)

const (
	collection = "/collections/{collection_name}"
	points     = collection + "/points"
	shard      = collection + "/shards/{shard_id}"
)

// table is Qdrant's REST API by method and path template, as its OpenAPI
// description 1.19 has it, and what was in it before: the searches that Query
// replaced. What is not in it passes all the same, as one route for all.
//
// Only reads are told from the rest: no write is ever sent again that may have
// arrived. That many would leave the same state is true here as it is over gRPC;
// but whoever speaks REST gives no deadline, and a write that is repeated after its
// caller has gone, and has written anew, undoes what came after it.
//
// Rows with fixed segments come before those with names in their place.
var table = []struct {
	method string
	path   string
	class  resilience.Class
	kind   kind
	why    string
}{
	{get, "/", read, health, "names the version"},
	{get, "/healthz", read, health, "probe"},
	{get, "/livez", read, health, "probe"},
	{get, "/readyz", read, health, "probe"},
	{get, "/metrics", read, slow, "walks all collections"},
	{get, "/telemetry", read, slow, "walks all collections"},
	{get, "/issues", read, quick, "reads"},
	{remove, "/issues", unsafe, lasting, "forgets what may have come up since"},
	{get, "/quotas", read, quick, "reads"},
	{put, "/quotas", unsafe, lasting, "changes the node"},
	{get, "/aliases", read, quick, "reads"},
	{get, "/dashboard", read, lasting, "serves files"},

	{get, "/cluster", read, quick, "reads"},
	{get, "/cluster/telemetry", read, slow, "asks all nodes"},
	{post, "/cluster/recover", unsafe, lasting, "changes the cluster"},
	{remove, "/cluster/peer/{peer_id}", unsafe, lasting, "changes the cluster"},

	{get, "/snapshots", read, slow, "reads a disk"},
	{post, "/snapshots", unsafe, lasting, "each makes a file"},
	{get, "/snapshots/{snapshot_name}", read, lasting, "downloads"},
	{remove, "/snapshots/{snapshot_name}", unsafe, lasting, "removes a file"},

	{get, "/collections", read, quick, "reads"},
	{post, "/collections/aliases", unsafe, lasting, "a rename fails the second time"},
	{get, collection, read, quick, "reads"},
	{put, collection, unsafe, lasting, "creates"},
	{patch, collection, unsafe, lasting, "changes the cluster"},
	{remove, collection, unsafe, lasting, "may remove what was made anew"},
	{get, collection + "/aliases", read, quick, "reads"},
	{get, collection + "/exists", read, quick, "reads"},
	{get, collection + "/optimizations", read, quick, "reads"},
	{get, collection + "/cluster", read, quick, "reads"},
	{post, collection + "/cluster", unsafe, lasting, "changes the cluster"},
	{put, collection + "/index", unsafe, lasting, "changes the cluster"},
	{remove, collection + "/index/{field_name}", unsafe, lasting, "changes the cluster"},
	{put, collection + "/vectors/{vector_name}", unsafe, lasting, "changes the cluster"},
	{remove, collection + "/vectors/{vector_name}", unsafe, lasting, "changes the cluster"},
	{post, collection + "/facet", read, quick, "reads"},

	{put, points, unsafe, lasting, "writes"},
	{post, points, read, quick, "reads by ids"},
	{post, points + "/delete", unsafe, lasting, "writes"},
	{post, points + "/batch", unsafe, lasting, "writes"},
	{put, points + "/vectors", unsafe, lasting, "writes"},
	{post, points + "/vectors/delete", unsafe, lasting, "writes"},
	{post, points + "/payload", unsafe, lasting, "writes"},
	{put, points + "/payload", unsafe, lasting, "writes"},
	{post, points + "/payload/delete", unsafe, lasting, "writes"},
	{post, points + "/payload/clear", unsafe, lasting, "writes"},
	{post, points + "/scroll", read, quick, "reads"},
	{post, points + "/count", read, quick, "reads"},
	{post, points + "/query", read, quick, "reads"},
	{post, points + "/query/batch", read, quick, "reads"},
	{post, points + "/query/groups", read, quick, "reads"},
	{post, points + "/search", read, quick, "reads"},
	{post, points + "/search/batch", read, quick, "reads"},
	{post, points + "/search/groups", read, quick, "reads"},
	{post, points + "/search/matrix/pairs", read, quick, "reads"},
	{post, points + "/search/matrix/offsets", read, quick, "reads"},
	{post, points + "/recommend", read, quick, "reads"},
	{post, points + "/recommend/batch", read, quick, "reads"},
	{post, points + "/recommend/groups", read, quick, "reads"},
	{post, points + "/discover", read, quick, "reads"},
	{post, points + "/discover/batch", read, quick, "reads"},
	{get, points + "/{id}", read, quick, "reads"},

	{get, collection + "/snapshots", read, slow, "reads a disk"},
	{post, collection + "/snapshots", unsafe, lasting, "each makes a file"},
	{post, collection + "/snapshots/upload", unsafe, lasting, "replaces a collection"},
	{put, collection + "/snapshots/recover", unsafe, lasting, "replaces a collection"},
	{get, collection + "/snapshots/{snapshot_name}", read, lasting, "downloads"},
	{remove, collection + "/snapshots/{snapshot_name}", unsafe, lasting, "removes a file"},

	{get, collection + "/shards", read, quick, "reads"},
	{put, collection + "/shards", unsafe, lasting, "changes the cluster"},
	{post, collection + "/shards/delete", unsafe, lasting, "changes the cluster"},
	{get, shard + "/snapshot", read, lasting, "downloads"},
	{get, shard + "/snapshots", read, slow, "reads a disk"},
	{post, shard + "/snapshots", unsafe, lasting, "each makes a file"},
	{post, shard + "/snapshots/upload", unsafe, lasting, "replaces a shard"},
	{put, shard + "/snapshots/recover", unsafe, lasting, "replaces a shard"},
	{get, shard + "/snapshots/{snapshot_name}", read, lasting, "downloads"},
	{remove, shard + "/snapshots/{snapshot_name}", unsafe, lasting, "removes a file"},
}
