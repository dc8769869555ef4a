package memqdrant

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/qdrant/go-client/qdrant"
)

type collectionsService struct {
	qdrant.UnimplementedCollectionsServer
	db *database
}

// Get implements [qdrant.CollectionsServer].
func (s collectionsService) Get(_ context.Context, in *qdrant.GetCollectionInfoRequest) (*qdrant.GetCollectionInfoResponse, error) {
	start := time.Now()
	if err := invalidBody(checkName(in.GetCollectionName())); err != nil {
		return nil, err
	}
	s.db.mu.RLock()
	defer s.db.mu.RUnlock()
	c, err := s.db.find(in.GetCollectionName())
	if err != nil {
		return nil, err
	}
	return &qdrant.GetCollectionInfoResponse{Result: c.info(), Time: seconds(start)}, nil
}

// List implements [qdrant.CollectionsServer]. The order is by name; Qdrant's is any.
func (s collectionsService) List(context.Context, *qdrant.ListCollectionsRequest) (*qdrant.ListCollectionsResponse, error) {
	start := time.Now()
	s.db.mu.RLock()
	defer s.db.mu.RUnlock()
	var list []*qdrant.CollectionDescription
	for _, name := range slices.Sorted(maps.Keys(s.db.collections)) {
		list = append(list, &qdrant.CollectionDescription{Name: name})
	}
	return &qdrant.ListCollectionsResponse{Collections: list, Time: seconds(start)}, nil
}

// Create implements [qdrant.CollectionsServer].
func (s collectionsService) Create(_ context.Context, in *qdrant.CreateCollection) (*qdrant.CollectionOperationResponse, error) {
	start := time.Now()
	if err := invalidBody(checkCreate(in)); err != nil {
		return nil, err
	}
	c, err := newCollection(in)
	if err != nil {
		return nil, err
	}
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if err := s.db.nameIsFree(c.name); err != nil {
		return nil, err
	}
	if _, taken := s.db.aliases[c.name]; taken {
		return nil, badInput("Can't create collection with name %s. Alias with the same name already exists", c.name)
	}
	s.db.collections[c.name] = c
	return &qdrant.CollectionOperationResponse{Result: true, Time: seconds(start)}, nil
}

// Update implements [qdrant.CollectionsServer].
func (s collectionsService) Update(_ context.Context, in *qdrant.UpdateCollection) (*qdrant.CollectionOperationResponse, error) {
	start := time.Now()
	if err := invalidBody(checkUpdate(in)); err != nil {
		return nil, err
	}
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	c, err := s.db.find(in.GetCollectionName())
	if err != nil {
		return nil, err
	}
	if err := c.update(in); err != nil {
		return nil, err
	}
	return &qdrant.CollectionOperationResponse{Result: true, Time: seconds(start)}, nil
}

// Delete implements [qdrant.CollectionsServer]: false when there is no collection of that name, which an alias is not.
func (s collectionsService) Delete(_ context.Context, in *qdrant.DeleteCollection) (*qdrant.CollectionOperationResponse, error) {
	start := time.Now()
	if err := invalidBody(append(checkName(in.GetCollectionName()), atLeastOne("timeout", in.Timeout)...)); err != nil {
		return nil, err
	}
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	_, existed := s.db.collections[in.GetCollectionName()]
	delete(s.db.collections, in.GetCollectionName())
	if existed {
		maps.DeleteFunc(s.db.aliases, func(_, target string) bool { return target == in.GetCollectionName() })
	}
	return &qdrant.CollectionOperationResponse{Result: existed, Time: seconds(start)}, nil
}

// CollectionExists implements [qdrant.CollectionsServer]; an alias exists too.
func (s collectionsService) CollectionExists(_ context.Context, in *qdrant.CollectionExistsRequest) (*qdrant.CollectionExistsResponse, error) {
	start := time.Now()
	if err := invalidBody(checkName(in.GetCollectionName())); err != nil {
		return nil, err
	}
	s.db.mu.RLock()
	defer s.db.mu.RUnlock()
	_, err := s.db.find(in.GetCollectionName())
	return &qdrant.CollectionExistsResponse{Result: &qdrant.CollectionExists{Exists: err == nil}, Time: seconds(start)}, nil
}

// UpdateAliases implements [qdrant.CollectionsServer]. Readers see all actions of a call at once. When one fails, the
// ones before it stay, as in Qdrant.
func (s collectionsService) UpdateAliases(_ context.Context, in *qdrant.ChangeAliases) (*qdrant.CollectionOperationResponse, error) {
	start := time.Now()
	if err := invalidBody(atLeastOne("timeout", in.Timeout)); err != nil {
		return nil, err
	}
	for _, action := range in.GetActions() {
		if action.GetAction() == nil {
			return nil, malformed("Malformed AliasOperation type")
		}
	}
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	for _, action := range in.GetActions() {
		if err := s.db.changeAlias(action); err != nil {
			return nil, err
		}
	}
	return &qdrant.CollectionOperationResponse{Result: true, Time: seconds(start)}, nil
}

func (db *database) changeAlias(in *qdrant.AliasOperations) error {
	switch action := in.GetAction().(type) {
	case *qdrant.AliasOperations_CreateAlias:
		alias, target := action.CreateAlias.GetAliasName(), action.CreateAlias.GetCollectionName()
		if _, ok := db.collections[target]; !ok {
			return noCollection(target)
		}
		if err := db.nameIsFree(alias); err != nil {
			return err
		}
		db.aliases[alias] = target
	case *qdrant.AliasOperations_RenameAlias:
		from, to := action.RenameAlias.GetOldAliasName(), action.RenameAlias.GetNewAliasName()
		target, ok := db.aliases[from]
		if !ok {
			return notFound("Alias %s does not exists!", from)
		}
		delete(db.aliases, from)
		db.aliases[to] = target
	case *qdrant.AliasOperations_DeleteAlias:
		delete(db.aliases, action.DeleteAlias.GetAliasName())
	}
	return nil
}

// nameIsFree refuses the name of an existing collection.
func (db *database) nameIsFree(name string) error {
	if _, taken := db.collections[name]; taken {
		return alreadyExists(name)
	}
	return nil
}

// ListAliases implements [qdrant.CollectionsServer]. The order is by name; Qdrant's is any.
func (s collectionsService) ListAliases(context.Context, *qdrant.ListAliasesRequest) (*qdrant.ListAliasesResponse, error) {
	start := time.Now()
	s.db.mu.RLock()
	defer s.db.mu.RUnlock()
	aliases := s.db.listAliases(func(string) bool { return true })
	return &qdrant.ListAliasesResponse{Aliases: aliases, Time: seconds(start)}, nil
}

// ListCollectionAliases implements [qdrant.CollectionsServer]; an unknown collection has none.
func (s collectionsService) ListCollectionAliases(_ context.Context, in *qdrant.ListCollectionAliasesRequest) (*qdrant.ListAliasesResponse, error) {
	start := time.Now()
	if err := invalidBody(checkName(in.GetCollectionName())); err != nil {
		return nil, err
	}
	s.db.mu.RLock()
	defer s.db.mu.RUnlock()
	aliases := s.db.listAliases(func(target string) bool { return target == in.GetCollectionName() })
	return &qdrant.ListAliasesResponse{Aliases: aliases, Time: seconds(start)}, nil
}

func (db *database) listAliases(wanted func(target string) bool) []*qdrant.AliasDescription {
	var list []*qdrant.AliasDescription
	for _, alias := range slices.Sorted(maps.Keys(db.aliases)) {
		if target := db.aliases[alias]; wanted(target) {
			list = append(list, &qdrant.AliasDescription{AliasName: alias, CollectionName: target})
		}
	}
	return list
}

// CollectionClusterInfo implements [qdrant.CollectionsServer]: one node, one shard.
func (s collectionsService) CollectionClusterInfo(_ context.Context, in *qdrant.CollectionClusterInfoRequest) (*qdrant.CollectionClusterInfoResponse, error) {
	s.db.mu.RLock()
	defer s.db.mu.RUnlock()
	c, err := s.db.find(in.GetCollectionName())
	if err != nil {
		return nil, err
	}
	return &qdrant.CollectionClusterInfoResponse{
		PeerId:      1,
		ShardCount:  1,
		LocalShards: []*qdrant.LocalShardInfo{{PointsCount: uint64(len(c.points)), State: qdrant.ReplicaState_Active}},
	}, nil
}

// ListShardKeys implements [qdrant.CollectionsServer]; a single node has none.
func (s collectionsService) ListShardKeys(_ context.Context, in *qdrant.ListShardKeysRequest) (*qdrant.ListShardKeysResponse, error) {
	start := time.Now()
	s.db.mu.RLock()
	defer s.db.mu.RUnlock()
	if _, err := s.db.find(in.GetCollectionName()); err != nil {
		return nil, err
	}
	return &qdrant.ListShardKeysResponse{Time: seconds(start)}, nil
}

// CreateShardKey implements [qdrant.CollectionsServer]: refused, as on any single node.
func (s collectionsService) CreateShardKey(_ context.Context, in *qdrant.CreateShardKeyRequest) (*qdrant.CreateShardKeyResponse, error) {
	if in.GetRequest() == nil {
		return nil, malformed("empty request")
	}
	return nil, singleNode()
}

// DeleteShardKey implements [qdrant.CollectionsServer]: refused, as on any single node.
func (s collectionsService) DeleteShardKey(_ context.Context, in *qdrant.DeleteShardKeyRequest) (*qdrant.DeleteShardKeyResponse, error) {
	if in.GetRequest() == nil {
		return nil, malformed("empty request")
	}
	return nil, singleNode()
}

// UpdateCollectionClusterSetup implements [qdrant.CollectionsServer]: refused, as on any single node.
func (s collectionsService) UpdateCollectionClusterSetup(_ context.Context, in *qdrant.UpdateCollectionClusterSetupRequest) (*qdrant.UpdateCollectionClusterSetupResponse, error) {
	if in.GetOperation() == nil {
		return nil, malformed("empty operation")
	}
	return nil, singleNode()
}

func singleNode() error { return badRequest("Distributed mode disabled") }
