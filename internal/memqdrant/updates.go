package memqdrant

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/qdrant/go-client/qdrant"
)

// change is a parsed write. Qdrant logs a write before applying it, which shows in three ways that are kept here:
// a failed one has used up an operation number, one without wait is acknowledged even if it then fails, and what it
// did before it failed stays.
type change func(c *collection, operation uint64) error

// write applies a change and answers as Qdrant does. precheck, if any, is what Qdrant looks at before it logs the
// write.
func (s pointsService) write(name string, wait bool, precheck func(c *collection) error, apply change) (*qdrant.PointsOperationResponse, error) {
	start := time.Now()
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	c, err := s.db.find(name)
	if err != nil {
		return nil, err
	}
	if precheck != nil {
		if err := precheck(c); err != nil {
			return nil, err
		}
	}
	operation := c.nextOperation()
	done := qdrant.UpdateStatus_Completed
	if err := apply(c, operation); err != nil && wait {
		return nil, err
	}
	if !wait {
		done = qdrant.UpdateStatus_Acknowledged
	}
	return &qdrant.PointsOperationResponse{
		Result: &qdrant.UpdateResult{OperationId: &operation, Status: done},
		Time:   seconds(start),
	}, nil
}

// selection is the points that a write is about: by id, or by a filter that is evaluated when the write is applied.
type selection struct {
	ids    []pointID
	filter *filter
	byID   bool
}

// parseSelection reads a selector; missing is the text to refuse a request without one.
func parseSelection(in *qdrant.PointsSelector, missing string) (selection, error) {
	if in == nil {
		return selection{}, malformed("%s", missing)
	}
	switch one := in.GetPointsSelectorOneOf().(type) {
	case *qdrant.PointsSelector_Points:
		ids, err := parseIDs(one.Points.GetIds())
		return selection{ids: ids, byID: true}, err
	case *qdrant.PointsSelector_Filter:
		f, err := parseFilter(one.Filter)
		return selection{filter: f}, err
	default:
		return selection{}, malformed("Malformed PointsSelector type")
	}
}

func checkSelection(field string, in *qdrant.PointsSelector) []string {
	return checkFilter(field+".points_selector_one_of", in.GetFilter())
}

// of returns the ids of the selected points.
func (s selection) of(c *collection) []pointID {
	if s.byID {
		return s.ids
	}
	var ids []pointID
	for _, p := range c.points {
		if c.matches(s.filter, p) {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// precheck refuses a selection of nothing before it is logged; a filter that nothing passes is fine.
func (s selection) precheck(*collection) error {
	if s.byID && len(s.ids) == 0 {
		return emptyUpdate()
	}
	return nil
}

// edit calls f with every selected point that exists and then complains about the first that doesn't.
func (s selection) edit(c *collection, operation uint64, f func(p *point)) error {
	var missing error
	for _, id := range s.of(c) {
		p, ok := c.byID[id]
		if !ok {
			if missing == nil {
				missing = noPoint(id)
			}
			continue
		}
		f(p)
		p.version = operation
	}
	return missing
}

// Upsert implements [qdrant.PointsServer].
func (s pointsService) Upsert(_ context.Context, in *qdrant.UpsertPoints) (*qdrant.PointsOperationResponse, error) {
	problems := append(checkName(in.GetCollectionName()), each("points", in.GetPoints(), checkPoint)...)
	if err := invalidBody(append(problems, checkFilter("update_filter", in.GetUpdateFilter())...)); err != nil {
		return nil, err
	}
	points := make([]newPoint, 0, len(in.GetPoints()))
	for _, raw := range in.GetPoints() {
		p, err := parsePoint(raw)
		if err != nil {
			return nil, err
		}
		points = append(points, p)
	}
	for i, p := range points {
		if err := p.checkDense(i); err != nil {
			return nil, err
		}
	}
	only, err := parseFilter(in.GetUpdateFilter())
	if err != nil {
		return nil, err
	}
	return s.write(in.GetCollectionName(), in.GetWait(), func(c *collection) error {
		return c.precheck(points)
	}, func(c *collection, operation uint64) error {
		return c.upsert(points, only, in.GetUpdateMode(), operation)
	})
}

// newPoint is a point of an upsert.
type newPoint struct {
	id      pointID
	vectors map[string]vector
	payload payload
}

func parsePoint(in *qdrant.PointStruct) (newPoint, error) {
	var p newPoint
	var err error
	if p.payload, err = newPayload(in.GetPayload()); err != nil {
		return p, err
	}
	if in.GetVectors() == nil {
		return p, malformed("Expected some vectors")
	}
	if p.vectors, err = parseVectors(in.GetVectors()); err != nil {
		return p, err
	}
	if in.GetId() == nil {
		return p, malformed("Empty ID is not allowed")
	}
	p.id, err = parseID(in.GetId())
	return p, err
}

// checkDense refuses empty dense vectors, which an upsert checks for apart from all else.
func (p newPoint) checkDense(at int) error {
	for name, v := range p.vectors {
		if v.dense != nil && len(v.dense) == 0 {
			named := ""
			if name != "" {
				named = "?."
			}
			return badInput("points[%d].vector.%svector: dense vector must not be empty", at, named)
		}
	}
	return nil
}

// precheck refuses an upsert before it is logged.
func (c *collection) precheck(points []newPoint) error {
	for _, p := range points {
		if err := c.checkSizes(p.vectors); err != nil {
			return err
		}
	}
	if len(points) == 0 {
		return emptyUpdate()
	}
	return nil
}

// emptyUpdate refuses a write that no shard would get to see.
func emptyUpdate() error { return badRequest("Empty update request") }

// upsert stores points; existing ones only if they pass the filter, and none that the mode leaves out.
func (c *collection) upsert(points []newPoint, only *filter, mode qdrant.UpdateMode, operation uint64) error {
	for _, p := range points {
		if err := c.checkVectors(p.vectors); err != nil {
			return err
		}
	}
	segment := c.smallestSegment()
	for _, p := range points {
		old, exists := c.byID[p.id]
		switch {
		case exists && mode == qdrant.UpdateMode_InsertOnly, !exists && mode == qdrant.UpdateMode_UpdateOnly:
		case exists && !c.matches(only, old):
		default:
			c.put(p.id, operation, p.vectors, p.payload, segment)
		}
	}
	return nil
}

// checkSizes is the check of dimensions that an upsert gets before it is logged; it names the vector.
func (c *collection) checkSizes(vectors map[string]vector) error {
	for name, v := range vectors {
		params, known := c.vectors[name]
		if !known || params.sparse || v.sparse != nil {
			continue
		}
		for _, row := range v.rows() {
			switch {
			case len(row) == params.size:
			case name == "":
				return wrongDimension(params.size, len(row))
			default:
				return badInput("Vector dimension error: expected dim: %d, got %d for vector '%s'", params.size, len(row), name)
			}
		}
	}
	return nil
}

// Delete implements [qdrant.PointsServer].
func (s pointsService) Delete(_ context.Context, in *qdrant.DeletePoints) (*qdrant.PointsOperationResponse, error) {
	if err := invalidBody(checkName(in.GetCollectionName())); err != nil {
		return nil, err
	}
	points, err := parseSelection(in.GetPoints(), "PointSelector is missing")
	if err != nil {
		return nil, err
	}
	return s.write(in.GetCollectionName(), in.GetWait(), points.precheck, func(c *collection, _ uint64) error {
		c.remove(idSet(points.of(c)))
		return nil
	})
}

// UpdateVectors implements [qdrant.PointsServer]; vectors that are not named stay.
func (s pointsService) UpdateVectors(_ context.Context, in *qdrant.UpdatePointVectors) (*qdrant.PointsOperationResponse, error) {
	problems := append(checkName(in.GetCollectionName()), each("points", in.GetPoints(), checkPointVectors)...)
	if err := invalidBody(append(problems, checkFilter("update_filter", in.GetUpdateFilter())...)); err != nil {
		return nil, err
	}
	var points []newPoint
	for _, raw := range in.GetPoints() {
		if raw.GetId() == nil {
			return nil, malformed("id is expected")
		}
		id, err := parseID(raw.GetId())
		if err != nil {
			return nil, err
		}
		if raw.GetVectors() == nil {
			return nil, malformed("vectors is expected")
		}
		vectors, err := parseVectors(raw.GetVectors())
		if err != nil {
			return nil, err
		}
		points = append(points, newPoint{id: id, vectors: vectors})
	}
	only, err := parseFilter(in.GetUpdateFilter())
	if err != nil {
		return nil, err
	}
	return s.write(in.GetCollectionName(), in.GetWait(), func(*collection) error {
		if len(points) == 0 {
			return emptyUpdate()
		}
		return nil
	}, func(c *collection, operation uint64) error {
		return c.updateVectors(points, only, operation)
	})
}

func (c *collection) updateVectors(points []newPoint, only *filter, operation uint64) error {
	var missing error
	for _, n := range points {
		p, ok := c.byID[n.id]
		switch {
		case !ok && missing == nil:
			missing = noPoint(n.id)
		case !ok, !c.matches(only, p):
		default:
			if err := c.checkVectors(n.vectors); err != nil {
				return err
			}
			vectors := maps.Clone(p.vectors)
			maps.Copy(vectors, c.prepared(n.vectors))
			p.vectors, p.version = vectors, operation
		}
	}
	return missing
}

// DeleteVectors implements [qdrant.PointsServer].
func (s pointsService) DeleteVectors(_ context.Context, in *qdrant.DeletePointVectors) (*qdrant.PointsOperationResponse, error) {
	problems := append(checkName(in.GetCollectionName()), checkSelection("points_selector", in.GetPointsSelector())...)
	if err := invalidBody(problems); err != nil {
		return nil, err
	}
	points, err := parseSelection(in.GetPointsSelector(), "points_selector is expected")
	if err != nil {
		return nil, err
	}
	if in.GetVectors() == nil {
		return nil, malformed("vectors is expected")
	}
	names := in.GetVectors().GetNames()
	return s.write(in.GetCollectionName(), in.GetWait(), points.precheck, func(c *collection, operation uint64) error {
		for _, name := range names {
			if _, err := c.params(name); err != nil {
				return err
			}
		}
		return points.edit(c, operation, func(p *point) {
			vectors := maps.Clone(p.vectors)
			maps.DeleteFunc(vectors, func(name string, _ vector) bool { return slices.Contains(names, name) })
			p.vectors = vectors
		})
	})
}
