package history_test

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// rpc is how a kind of operation is said in Qdrant's API.
type rpc struct {
	path string
	// request and reply make messages of operations and results; operation and
	// result read them back.
	request   func(operation) proto.Message
	reply     func(operation, result) (proto.Message, error)
	operation func(proto.Message) operation
	result    func(operation, proto.Message, error) (result, error)
	// empty are messages to decode into.
	emptyRequest, emptyReply func() proto.Message
}

// method makes an rpc of functions that know their messages' types.
func method[Q, A any, PQ message[Q], PA message[A]](
	path string,
	request func(operation) PQ, parse func(PQ) operation,
	reply func(operation, result) (PA, error), read func(operation, PA) result,
) rpc {
	return rpc{
		path:         path,
		request:      func(o operation) proto.Message { return request(o) },
		operation:    func(m proto.Message) operation { return parse(m.(PQ)) },
		reply:        func(o operation, r result) (proto.Message, error) { return reply(o, r) },
		emptyRequest: func() proto.Message { return PQ(new(Q)) },
		emptyReply:   func() proto.Message { return PA(new(A)) },
		result: func(o operation, m proto.Message, err error) (result, error) {
			switch status.Code(err) {
			case codes.OK:
				return read(o, m.(PA)), nil
			case codes.AlreadyExists, codes.NotFound:
				return result{}, nil
			default:
				return result{}, err
			}
		},
	}
}

type message[T any] interface {
	*T
	proto.Message
}

func splitPoint(register string) (collection string, id *qdrant.PointId) {
	collection, number, _ := strings.Cut(register, "/")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("register %q is no point", register))
	}
	return collection, qdrant.NewIDNum(n)
}

func joinPoint(collection string, id *qdrant.PointId) string {
	return fmt.Sprintf("%s/%d", collection, id.GetNum())
}

// The fields of a point's payload. An upsert writes value and so clears tag;
// Set Payload writes tag and so keeps value.
const (
	valueField = "value"
	tagField   = "tag"
)

func done(operation, result) (*qdrant.PointsOperationResponse, error) {
	return &qdrant.PointsOperationResponse{Result: &qdrant.UpdateResult{Status: qdrant.UpdateStatus_Completed}}, nil
}

func wasDone(_ operation, a *qdrant.PointsOperationResponse) result {
	return result{found: a.GetResult().GetStatus() == qdrant.UpdateStatus_Completed}
}

func point(o operation, told result) []*qdrant.RetrievedPoint {
	if !told.found {
		return nil
	}
	_, id := splitPoint(o.register)
	value, tag, _ := strings.Cut(told.text, "|")
	return []*qdrant.RetrievedPoint{{Id: id, Payload: map[string]*qdrant.Value{
		valueField: qdrant.NewValueString(value), tagField: qdrant.NewValueString(tag),
	}}}
}

func seen(o operation, points []*qdrant.RetrievedPoint) result {
	_, id := splitPoint(o.register)
	for _, p := range points {
		if p.GetId().GetNum() == id.GetNum() {
			fields := p.GetPayload()
			return result{found: true, text: fields[valueField].GetStringValue() + "|" + fields[tagField].GetStringValue()}
		}
	}
	return result{}
}

func changed(_ operation, told result) (*qdrant.CollectionOperationResponse, error) {
	return &qdrant.CollectionOperationResponse{Result: told.found}, nil
}

func wasChanged(_ operation, a *qdrant.CollectionOperationResponse) result {
	return result{found: a.GetResult()}
}

// rpcs returns the table of all kinds.
func rpcs() [kinds]rpc {
	var table [kinds]rpc
	addPointRPCs(&table)
	addCollectionRPCs(&table)
	addSnapshotRPCs(&table)
	return table
}

func addPointRPCs(table *[kinds]rpc) {
	table[upsertPoint] = method(qdrant.Points_Upsert_FullMethodName,
		func(o operation) *qdrant.UpsertPoints {
			collection, id := splitPoint(o.register)
			return &qdrant.UpsertPoints{CollectionName: collection, Wait: new(true), Points: []*qdrant.PointStruct{{
				Id: id, Vectors: qdrant.NewVectors(1, 2), Payload: map[string]*qdrant.Value{valueField: qdrant.NewValueString(o.value)},
			}}}
		},
		func(q *qdrant.UpsertPoints) operation {
			p := q.GetPoints()[0]
			return operation{upsertPoint, joinPoint(q.GetCollectionName(), p.GetId()), p.GetPayload()[valueField].GetStringValue()}
		}, done, wasDone)
	table[setPayload] = method(qdrant.Points_SetPayload_FullMethodName,
		func(o operation) *qdrant.SetPayloadPoints {
			collection, id := splitPoint(o.register)
			return &qdrant.SetPayloadPoints{CollectionName: collection, Wait: new(true),
				Payload:        map[string]*qdrant.Value{tagField: qdrant.NewValueString(o.value)},
				PointsSelector: qdrant.NewPointsSelector(id)}
		},
		func(q *qdrant.SetPayloadPoints) operation {
			id := q.GetPointsSelector().GetPoints().GetIds()[0]
			return operation{setPayload, joinPoint(q.GetCollectionName(), id), q.GetPayload()[tagField].GetStringValue()}
		},
		func(o operation, told result) (*qdrant.PointsOperationResponse, error) {
			if !told.found {
				return nil, status.Error(codes.NotFound, "Not found: No point with id "+o.register+" found")
			}
			return done(o, told)
		}, wasDone)
	byIDs := func(o operation) *qdrant.DeletePoints {
		collection, id := splitPoint(o.register)
		return &qdrant.DeletePoints{CollectionName: collection, Wait: new(true), Points: qdrant.NewPointsSelector(id)}
	}
	byFilter := func(o operation) *qdrant.DeletePoints {
		collection, id := splitPoint(o.register)
		return &qdrant.DeletePoints{CollectionName: collection, Wait: new(true), Points: qdrant.NewPointsSelectorFilter(
			&qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewHasID(id), qdrant.NewMatch(valueField, o.value)}})}
	}
	whichever := func(q *qdrant.DeletePoints) operation {
		if ids := q.GetPoints().GetPoints().GetIds(); len(ids) > 0 {
			return operation{deletePoint, joinPoint(q.GetCollectionName(), ids[0]), ""}
		}
		must := q.GetPoints().GetFilter().GetMust()
		id := must[0].GetHasId().GetHasId()[0]
		return operation{deletePointIf, joinPoint(q.GetCollectionName(), id), must[1].GetField().GetMatch().GetKeyword()}
	}
	table[deletePoint] = method(qdrant.Points_Delete_FullMethodName, byIDs, whichever, done, wasDone)
	table[deletePointIf] = method(qdrant.Points_Delete_FullMethodName, byFilter, whichever, done, wasDone)
	table[getPoint] = method(qdrant.Points_Get_FullMethodName,
		func(o operation) *qdrant.GetPoints {
			collection, id := splitPoint(o.register)
			return &qdrant.GetPoints{CollectionName: collection, Ids: []*qdrant.PointId{id}, WithPayload: qdrant.NewWithPayload(true)}
		},
		func(q *qdrant.GetPoints) operation {
			return operation{getPoint, joinPoint(q.GetCollectionName(), q.GetIds()[0]), ""}
		},
		func(o operation, told result) (*qdrant.GetResponse, error) {
			return &qdrant.GetResponse{Result: point(o, told)}, nil
		},
		func(o operation, a *qdrant.GetResponse) result { return seen(o, a.GetResult()) })
	table[scrollPoint] = method(qdrant.Points_Scroll_FullMethodName,
		func(o operation) *qdrant.ScrollPoints {
			collection, id := splitPoint(o.register)
			return &qdrant.ScrollPoints{CollectionName: collection,
				Filter: &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewHasID(id)}}, WithPayload: qdrant.NewWithPayload(true)}
		},
		func(q *qdrant.ScrollPoints) operation {
			id := q.GetFilter().GetMust()[0].GetHasId().GetHasId()[0]
			return operation{scrollPoint, joinPoint(q.GetCollectionName(), id), ""}
		},
		func(o operation, told result) (*qdrant.ScrollResponse, error) {
			return &qdrant.ScrollResponse{Result: point(o, told)}, nil
		},
		func(o operation, a *qdrant.ScrollResponse) result { return seen(o, a.GetResult()) })
}

func addCollectionRPCs(table *[kinds]rpc) {
	table[createCollection] = method(qdrant.Collections_Create_FullMethodName,
		func(o operation) *qdrant.CreateCollection {
			return &qdrant.CreateCollection{CollectionName: o.register}
		},
		func(q *qdrant.CreateCollection) operation {
			return operation{createCollection, q.GetCollectionName(), ""}
		},
		func(o operation, told result) (*qdrant.CollectionOperationResponse, error) {
			if !told.found {
				return nil, status.Error(codes.AlreadyExists, "Wrong input: Collection `"+o.register+"` already exists!")
			}
			return changed(o, told)
		}, wasChanged)
	table[deleteCollection] = method(qdrant.Collections_Delete_FullMethodName,
		func(o operation) *qdrant.DeleteCollection {
			return &qdrant.DeleteCollection{CollectionName: o.register}
		},
		func(q *qdrant.DeleteCollection) operation {
			return operation{deleteCollection, q.GetCollectionName(), ""}
		}, changed, wasChanged)
	table[collectionExists] = method(qdrant.Collections_CollectionExists_FullMethodName,
		func(o operation) *qdrant.CollectionExistsRequest {
			return &qdrant.CollectionExistsRequest{CollectionName: o.register}
		},
		func(q *qdrant.CollectionExistsRequest) operation {
			return operation{collectionExists, q.GetCollectionName(), ""}
		},
		func(_ operation, told result) (*qdrant.CollectionExistsResponse, error) {
			return &qdrant.CollectionExistsResponse{Result: &qdrant.CollectionExists{Exists: told.found}}, nil
		},
		func(_ operation, a *qdrant.CollectionExistsResponse) result {
			if a.GetResult().GetExists() {
				return result{found: true, text: "there"}
			}
			return result{}
		})
	change := func(o operation) *qdrant.ChangeAliases {
		actions := []*qdrant.AliasOperations{qdrant.NewAliasDelete(o.register)}
		if o.kind == switchAlias {
			actions = append(actions, qdrant.NewAliasCreate(o.register, o.value))
		}
		return &qdrant.ChangeAliases{Actions: actions}
	}
	parse := func(q *qdrant.ChangeAliases) operation {
		alias := q.GetActions()[0].GetDeleteAlias().GetAliasName()
		if len(q.GetActions()) == 1 {
			return operation{deleteAlias, alias, ""}
		}
		return operation{switchAlias, alias, q.GetActions()[1].GetCreateAlias().GetCollectionName()}
	}
	table[switchAlias] = method(qdrant.Collections_UpdateAliases_FullMethodName, change, parse, changed, wasChanged)
	table[deleteAlias] = method(qdrant.Collections_UpdateAliases_FullMethodName, change, parse, changed, wasChanged)
	// The request does not say which alias its caller is after: see upstream.apply.
	table[listAliases] = method(qdrant.Collections_ListAliases_FullMethodName,
		func(operation) *qdrant.ListAliasesRequest { return &qdrant.ListAliasesRequest{} },
		func(*qdrant.ListAliasesRequest) operation { return operation{kind: listAliases} },
		func(o operation, told result) (*qdrant.ListAliasesResponse, error) {
			if !told.found {
				return &qdrant.ListAliasesResponse{}, nil
			}
			return &qdrant.ListAliasesResponse{Aliases: []*qdrant.AliasDescription{{AliasName: o.register, CollectionName: told.text}}}, nil
		},
		func(o operation, a *qdrant.ListAliasesResponse) result {
			for _, alias := range a.GetAliases() {
				if alias.GetAliasName() == o.register {
					return result{found: true, text: alias.GetCollectionName()}
				}
			}
			return result{}
		})
}

func addSnapshotRPCs(table *[kinds]rpc) {
	table[createSnapshot] = method(qdrant.Snapshots_Create_FullMethodName,
		func(o operation) *qdrant.CreateSnapshotRequest {
			return &qdrant.CreateSnapshotRequest{CollectionName: o.register}
		},
		func(q *qdrant.CreateSnapshotRequest) operation {
			return operation{createSnapshot, q.GetCollectionName(), ""}
		},
		func(_ operation, told result) (*qdrant.CreateSnapshotResponse, error) {
			return &qdrant.CreateSnapshotResponse{SnapshotDescription: &qdrant.SnapshotDescription{Name: told.text}}, nil
		},
		func(_ operation, a *qdrant.CreateSnapshotResponse) result {
			return result{found: true, text: a.GetSnapshotDescription().GetName()}
		})
	table[listSnapshots] = method(qdrant.Snapshots_List_FullMethodName,
		func(o operation) *qdrant.ListSnapshotsRequest {
			return &qdrant.ListSnapshotsRequest{CollectionName: o.register}
		},
		func(q *qdrant.ListSnapshotsRequest) operation {
			return operation{listSnapshots, q.GetCollectionName(), ""}
		},
		func(_ operation, told result) (*qdrant.ListSnapshotsResponse, error) {
			var list []*qdrant.SnapshotDescription
			for name := range strings.SplitSeq(strings.TrimSuffix(told.text, ","), ",") {
				if name != "" {
					list = append(list, &qdrant.SnapshotDescription{Name: name})
				}
			}
			return &qdrant.ListSnapshotsResponse{SnapshotDescriptions: list}, nil
		},
		func(_ operation, a *qdrant.ListSnapshotsResponse) result {
			var told result
			for _, s := range a.GetSnapshotDescriptions() {
				told.found = true
				told.text += s.GetName() + ","
			}
			return told
		})
}
