package memqdrant

import (
	"slices"
	"sync"
	"time"

	"github.com/qdrant/go-client/qdrant"
)

// database is everything a server holds. One lock guards it all: calls are short, and an alias or a collection must
// change for all readers at once.
type database struct {
	mu          sync.RWMutex
	collections map[string]*collection
	aliases     map[string]string // alias → collection
}

func newDatabase() *database {
	return &database{collections: map[string]*collection{}, aliases: map[string]string{}}
}

// find resolves a collection by its name or an alias.
func (db *database) find(name string) (*collection, error) {
	if c, ok := db.collections[name]; ok {
		return c, nil
	}
	if c, ok := db.collections[db.aliases[name]]; ok {
		return c, nil
	}
	return nil, noCollection(name)
}

// segmentCount is how many segments the recorded Qdrant spread its points over. It shows in CollectionInfo and in the
// order of equal scores, see compareSimilar.
const segmentCount = 2

// collection holds points, all of them in memory and in the order of their ids.
type collection struct {
	name    string
	config  *qdrant.CollectionConfig // replaced, never changed: answers share it
	vectors map[string]vectorParams

	byID   map[pointID]*point
	points []*point // the same, ascending by id

	indexes    map[string]fieldIndex
	tokenizers map[string]tokenizer // of the full-text indexes among them

	operations uint64 // number of the last write, applied or failed
	segments   [segmentCount]int
	inserts    uint64
}

// point is one stored point. Writers replace its maps instead of changing them.
type point struct {
	id      pointID
	version uint64 // the operation that wrote it last
	payload payload
	vectors map[string]vector

	segment int    // see compareSimilar
	insert  uint64 // ascending in order of arrival
}

// nextOperation numbers a write. Qdrant counts it when it is logged, before it is known to succeed.
func (c *collection) nextOperation() uint64 {
	c.operations++
	return c.operations
}

// smallestSegment is where new points of a write go.
func (c *collection) smallestSegment() int {
	smallest := 0
	for s, size := range c.segments {
		if size < c.segments[smallest] {
			smallest = s
		}
	}
	return smallest
}

// put stores a point, replacing one with the same id; a new one goes to segment. Vectors are prepared here.
func (c *collection) put(id pointID, version uint64, vectors map[string]vector, fields payload, segment int) {
	p, known := c.byID[id]
	if !known {
		p = &point{id: id, segment: segment, insert: c.inserts}
		c.inserts++
		c.segments[segment]++
		c.byID[id] = p
		at, _ := slices.BinarySearchFunc(c.points, id, func(p *point, id pointID) int { return compareIDs(p.id, id) })
		c.points = slices.Insert(c.points, at, p)
	}
	p.version, p.payload, p.vectors = version, fields, c.prepared(vectors)
}

func (c *collection) prepared(vectors map[string]vector) map[string]vector {
	out := make(map[string]vector, len(vectors))
	for name, v := range vectors {
		out[name] = c.vectors[name].prepare(v)
	}
	return out
}

// remove deletes the points with these ids; unknown ones don't matter.
func (c *collection) remove(ids map[pointID]bool) {
	for id := range ids {
		if p, ok := c.byID[id]; ok {
			c.segments[p.segment]--
			delete(c.byID, id)
		}
	}
	c.points = slices.DeleteFunc(c.points, func(p *point) bool { return ids[p.id] })
}

// params returns what a named vector may hold.
func (c *collection) params(name string) (vectorParams, error) {
	p, ok := c.vectors[name]
	if !ok {
		return p, noVectorName(name)
	}
	return p, nil
}

// checkVectors returns why vectors cannot be stored.
func (c *collection) checkVectors(vectors map[string]vector) error {
	for name, v := range vectors {
		p, err := c.params(name)
		if err != nil {
			return err
		}
		if err := p.check(v); err != nil {
			return err
		}
	}
	return nil
}

// seconds is the time field of an answer.
func seconds(since time.Time) float64 { return time.Since(since).Seconds() }
