package memqdrant

import (
	"maps"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"
)

// newCollection makes an empty collection of a request, filling in a fresh Qdrant's defaults.
func newCollection(in *qdrant.CreateCollection) (*collection, error) {
	c := &collection{
		name:       in.GetCollectionName(),
		vectors:    map[string]vectorParams{},
		byID:       map[pointID]*point{},
		indexes:    map[string]fieldIndex{},
		tokenizers: map[string]tokenizer{},
	}
	vectors := in.GetVectorsConfig()
	switch v := vectors.GetConfig().(type) {
	case *qdrant.VectorsConfig_Params:
		if err := c.addVector("", v.Params); err != nil {
			return nil, err
		}
	case *qdrant.VectorsConfig_ParamsMap:
		for name, params := range v.ParamsMap.GetMap() {
			if err := checkVectorName("dense", name); err != nil {
				return nil, err
			}
			if err := c.addVector(name, params); err != nil {
				return nil, err
			}
		}
	default:
		vectors = qdrant.NewVectorsConfigMap(nil)
	}
	for name, params := range in.GetSparseVectorsConfig().GetMap() {
		if err := c.addSparse(name, params); err != nil {
			return nil, err
		}
	}
	metadata, err := newPayload(in.GetMetadata())
	if err != nil {
		return nil, err
	}
	c.config = newConfig(in, vectors)
	c.config.Metadata = metadata
	return c, nil
}

func (c *collection) addVector(name string, in *qdrant.VectorParams) error {
	if _, known := qdrant.Distance_name[int32(in.GetDistance())]; !known {
		return malformed("Malformed distance parameter, unexpected value: %d", in.GetDistance())
	}
	if in.GetDistance() == qdrant.Distance_UnknownDistance {
		return malformed("Malformed distance parameter: UnknownDistance")
	}
	c.vectors[name] = vectorParams{size: int(in.GetSize()), distance: in.GetDistance(), multi: in.GetMultivectorConfig() != nil}
	return nil
}

func (c *collection) addSparse(name string, in *qdrant.SparseVectorParams) error {
	if err := checkVectorName("sparse", name); err != nil {
		return err
	}
	if name == "" {
		return badInput("Sparse vector name cannot be empty")
	}
	if _, taken := c.vectors[name]; taken {
		return badInput("Dense and sparse vector names must be unique - duplicate found with '%s'", name)
	}
	c.vectors[name] = vectorParams{sparse: true, distance: qdrant.Distance_Dot, idf: in.GetModifier() == qdrant.Modifier_Idf}
	return nil
}

// checkVectorName refuses names that would make bad directories.
func checkVectorName(kind, name string) error {
	if len(name) > 200 {
		return badInput("Invalid %s vector name `%s`: vector name must be at most 200 bytes long", kind, name)
	}
	if c, found := firstOf(badNameChars, name); found {
		return badInput("Invalid %s vector name `%s`: vector name cannot contain \"%c\" char", kind, name, c)
	}
	return nil
}

func newConfig(in *qdrant.CreateCollection, vectors *qdrant.VectorsConfig) *qdrant.CollectionConfig {
	or := func(v *uint32, byDefault uint32) *uint32 {
		if v != nil {
			return v
		}
		return &byDefault
	}
	config := &qdrant.CollectionConfig{
		Params: &qdrant.CollectionParams{
			VectorsConfig:          vectors,
			SparseVectorsConfig:    in.GetSparseVectorsConfig(),
			ShardNumber:            *or(in.ShardNumber, 1),
			ReplicationFactor:      or(in.ReplicationFactor, 1),
			WriteConsistencyFactor: or(in.WriteConsistencyFactor, 1),
			OnDiskPayload:          in.OnDiskPayload == nil || in.GetOnDiskPayload(),
			ShardingMethod:         in.ShardingMethod,
		},
		HnswConfig: &qdrant.HnswConfigDiff{
			M:                  new(uint64(16)),
			EfConstruct:        new(uint64(100)),
			FullScanThreshold:  new(uint64(10000)),
			MaxIndexingThreads: new(uint64(0)),
			OnDisk:             new(false),
		},
		OptimizerConfig: &qdrant.OptimizersConfigDiff{
			DeletedThreshold:       new(0.2),
			VacuumMinVectorNumber:  new(uint64(1000)),
			DefaultSegmentNumber:   new(uint64(0)),
			IndexingThreshold:      new(uint64(10000)),
			FlushIntervalSec:       new(uint64(5)),
			MaxOptimizationThreads: qdrant.NewMaxOptimizationThreadsSetting(qdrant.MaxOptimizationThreads_Auto),
		},
		WalConfig: &qdrant.WalConfigDiff{
			WalCapacityMb:    new(uint64(32)),
			WalSegmentsAhead: new(uint64(0)),
			WalRetainClosed:  new(uint64(1)),
		},
		QuantizationConfig: in.GetQuantizationConfig(),
		StrictModeConfig:   in.GetStrictModeConfig(),
	}
	mergeSet(config.HnswConfig, in.HnswConfig)
	mergeSet(config.OptimizerConfig, in.OptimizersConfig)
	mergeSet(config.WalConfig, in.WalConfig)
	return config
}

// mergeSet overwrites in dest what diff sets. A missing diff sets nothing.
func mergeSet[M proto.Message](dest, diff M) {
	if diff.ProtoReflect().IsValid() {
		proto.Merge(dest, diff)
	}
}

// update applies a request's differences. None of them changes how memory:// works; they show in CollectionInfo.
func (c *collection) update(in *qdrant.UpdateCollection) error {
	metadata, err := newPayload(in.GetMetadata())
	if err != nil {
		return err
	}
	config := proto.CloneOf(c.config)
	config.Metadata = merged(c.config.GetMetadata(), metadata)
	mergeSet(config.HnswConfig, in.HnswConfig)
	mergeSet(config.OptimizerConfig, in.OptimizersConfig)
	if in.StrictModeConfig != nil {
		if config.StrictModeConfig == nil {
			config.StrictModeConfig = &qdrant.StrictModeConfig{}
		}
		proto.Merge(config.StrictModeConfig, in.StrictModeConfig)
	}
	updateParams(config.Params, in.GetParams())
	if err := updateVectors(config.Params.GetVectorsConfig(), in.GetVectorsConfig()); err != nil {
		return err
	}
	for name, params := range in.GetSparseVectorsConfig().GetMap() {
		have, ok := config.Params.GetSparseVectorsConfig().GetMap()[name]
		if !ok {
			return noVectorName(name)
		}
		proto.Merge(have, params)
	}
	if diff := in.GetQuantizationConfig(); diff != nil {
		config.QuantizationConfig = quantization(diff)
	}
	c.config = config
	return nil
}

func updateParams(params *qdrant.CollectionParams, diff *qdrant.CollectionParamsDiff) {
	if diff == nil {
		return
	}
	set := func(dest **uint32, v *uint32) {
		if v != nil {
			*dest = v
		}
	}
	set(&params.ReplicationFactor, diff.ReplicationFactor)
	set(&params.WriteConsistencyFactor, diff.WriteConsistencyFactor)
	set(&params.ReadFanOutFactor, diff.ReadFanOutFactor)
	if diff.ReadFanOutDelayMs != nil {
		params.ReadFanOutDelayMs = diff.ReadFanOutDelayMs
	}
	if diff.OnDiskPayload != nil {
		params.OnDiskPayload = diff.GetOnDiskPayload()
	}
}

// updateVectors applies differences to the vectors that exist; new ones cannot be added this way.
func updateVectors(config *qdrant.VectorsConfig, diff *qdrant.VectorsConfigDiff) error {
	diffs := maps.Clone(diff.GetParamsMap().GetMap())
	if single := diff.GetParams(); single != nil {
		diffs = map[string]*qdrant.VectorParamsDiff{"": single}
	}
	for name, d := range diffs {
		params := config.GetParamsMap().GetMap()[name]
		if single := config.GetParams(); single != nil && name == "" {
			params = single
		}
		if params == nil {
			return noVectorName(name)
		}
		if d.OnDisk != nil {
			params.OnDisk = d.OnDisk
		}
		if d.HnswConfig != nil {
			if params.HnswConfig == nil {
				params.HnswConfig = &qdrant.HnswConfigDiff{}
			}
			proto.Merge(params.HnswConfig, d.HnswConfig)
		}
		if d.QuantizationConfig != nil {
			params.QuantizationConfig = quantization(d.QuantizationConfig)
		}
	}
	return nil
}

// quantization returns what a difference leaves: nil when it disables quantization.
func quantization(diff *qdrant.QuantizationConfigDiff) *qdrant.QuantizationConfig {
	switch q := diff.GetQuantization().(type) {
	case *qdrant.QuantizationConfigDiff_Scalar:
		return &qdrant.QuantizationConfig{Quantization: &qdrant.QuantizationConfig_Scalar{Scalar: q.Scalar}}
	case *qdrant.QuantizationConfigDiff_Product:
		return &qdrant.QuantizationConfig{Quantization: &qdrant.QuantizationConfig_Product{Product: q.Product}}
	case *qdrant.QuantizationConfigDiff_Binary:
		return &qdrant.QuantizationConfig{Quantization: &qdrant.QuantizationConfig_Binary{Binary: q.Binary}}
	default:
		return nil
	}
}

// info is the collection as Collections/Get shows it.
func (c *collection) info() *qdrant.CollectionInfo {
	schema := make(map[string]*qdrant.PayloadSchemaInfo, len(c.indexes))
	for name, index := range c.indexes {
		schema[name] = &qdrant.PayloadSchemaInfo{
			DataType: index.dataType,
			Params:   index.params,
			Points:   new(uint64(c.countIndexed(index))),
		}
	}
	return &qdrant.CollectionInfo{
		Status:              qdrant.CollectionStatus_Green,
		OptimizerStatus:     &qdrant.OptimizerStatus{Ok: true},
		SegmentsCount:       segmentCount,
		Config:              c.config,
		PayloadSchema:       schema,
		PointsCount:         new(uint64(len(c.points))),
		IndexedVectorsCount: new(uint64(0)),
		UpdateQueue:         &qdrant.UpdateQueueInfo{},
	}
}
