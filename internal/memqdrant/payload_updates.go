package memqdrant

import (
	"context"

	"github.com/qdrant/go-client/qdrant"
)

// SetPayload implements [qdrant.PointsServer]: fields that are not named stay, null removes one.
func (s pointsService) SetPayload(_ context.Context, in *qdrant.SetPayloadPoints) (*qdrant.PointsOperationResponse, error) {
	problems := append(checkName(in.GetCollectionName()), checkSelection("points_selector", in.GetPointsSelector())...)
	if err := invalidBody(problems); err != nil {
		return nil, err
	}
	var at path
	if in.Key != nil {
		var err error
		if at, err = parsePath(in.GetKey()); err != nil {
			return nil, err
		}
	}
	return s.editPayload(in, func(p *point, fields payload) { p.payload = mergedAt(p.payload, at, fields) })
}

// OverwritePayload implements [qdrant.PointsServer].
func (s pointsService) OverwritePayload(_ context.Context, in *qdrant.SetPayloadPoints) (*qdrant.PointsOperationResponse, error) {
	problems := append(checkName(in.GetCollectionName()), checkSelection("points_selector", in.GetPointsSelector())...)
	if err := invalidBody(problems); err != nil {
		return nil, err
	}
	return s.editPayload(in, func(p *point, fields payload) { p.payload = fields })
}

func (s pointsService) editPayload(in *qdrant.SetPayloadPoints, edit func(p *point, fields payload)) (*qdrant.PointsOperationResponse, error) {
	points, err := parseSelection(in.GetPointsSelector(), "points_selector is expected")
	if err != nil {
		return nil, err
	}
	fields, err := newPayload(in.GetPayload())
	if err != nil {
		return nil, err
	}
	return s.write(in.GetCollectionName(), in.GetWait(), points.precheck, func(c *collection, operation uint64) error {
		return points.edit(c, operation, func(p *point) { edit(p, fields) })
	})
}

// DeletePayload implements [qdrant.PointsServer].
func (s pointsService) DeletePayload(_ context.Context, in *qdrant.DeletePayloadPoints) (*qdrant.PointsOperationResponse, error) {
	problems := append(checkName(in.GetCollectionName()), checkSelection("points_selector", in.GetPointsSelector())...)
	if err := invalidBody(problems); err != nil {
		return nil, err
	}
	keys, err := parsePaths(in.GetKeys())
	if err != nil {
		return nil, err
	}
	points, err := parseSelection(in.GetPointsSelector(), "points_selector is expected")
	if err != nil {
		return nil, err
	}
	return s.write(in.GetCollectionName(), in.GetWait(), points.precheck, func(c *collection, operation uint64) error {
		return points.edit(c, operation, func(p *point) {
			for _, key := range keys {
				p.payload = without(p.payload, key)
			}
		})
	})
}

// ClearPayload implements [qdrant.PointsServer].
func (s pointsService) ClearPayload(_ context.Context, in *qdrant.ClearPayloadPoints) (*qdrant.PointsOperationResponse, error) {
	problems := append(checkName(in.GetCollectionName()), checkSelection("points", in.GetPoints())...)
	if err := invalidBody(problems); err != nil {
		return nil, err
	}
	points, err := parseSelection(in.GetPoints(), "PointSelector is missing")
	if err != nil {
		return nil, err
	}
	return s.write(in.GetCollectionName(), in.GetWait(), points.precheck, func(c *collection, operation uint64) error {
		return points.edit(c, operation, func(p *point) { p.payload = nil })
	})
}

// CreateFieldIndex implements [qdrant.PointsServer].
func (s pointsService) CreateFieldIndex(_ context.Context, in *qdrant.CreateFieldIndexCollection) (*qdrant.PointsOperationResponse, error) {
	problems := append(checkName(in.GetCollectionName()), notEmpty("field_name", in.GetFieldName())...)
	if err := invalidBody(problems); err != nil {
		return nil, err
	}
	index, err := newIndex(in)
	if err != nil {
		return nil, err
	}
	return s.writeIndex(in.GetCollectionName(), in.GetWait(), func(c *collection) { c.addIndex(index) })
}

// DeleteFieldIndex implements [qdrant.PointsServer]; it doesn't matter whether there is one.
func (s pointsService) DeleteFieldIndex(_ context.Context, in *qdrant.DeleteFieldIndexCollection) (*qdrant.PointsOperationResponse, error) {
	problems := append(checkName(in.GetCollectionName()), notEmpty("field_name", in.GetFieldName())...)
	if err := invalidBody(problems); err != nil {
		return nil, err
	}
	key, err := parsePath(in.GetFieldName())
	if err != nil {
		return nil, err
	}
	return s.writeIndex(in.GetCollectionName(), in.GetWait(), func(c *collection) { c.dropIndex(key) })
}

// writeIndex counts two operations and answers with the second: Qdrant changes the collection's schema and then its
// segments.
func (s pointsService) writeIndex(name string, wait bool, apply func(c *collection)) (*qdrant.PointsOperationResponse, error) {
	return s.write(name, wait, func(c *collection) error {
		c.nextOperation()
		return nil
	}, func(c *collection, _ uint64) error {
		apply(c)
		return nil
	})
}
