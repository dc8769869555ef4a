package memqdrant

import (
	"math"

	"github.com/qdrant/go-client/qdrant"
)

// placeIn checks values of the form {"lon": …, "lat": …}.
func placeIn(area func(lon, lat float64) bool) valueCheck {
	return func(v *qdrant.Value) bool {
		fields := v.GetStructValue().GetFields()
		lon, okLon := number(fields["lon"])
		lat, okLat := number(fields["lat"])
		return okLon && okLat && area(lon, lat)
	}
}

// inBox leaves out the edges. A box whose left edge lies east of its right one crosses the antimeridian.
func inBox(box *qdrant.GeoBoundingBox, lon, lat float64) bool {
	left, right := box.GetTopLeft().GetLon(), box.GetBottomRight().GetLon()
	inside := left < lon && lon < right
	if left > right {
		inside = lon > left || lon < right
	}
	return inside && box.GetBottomRight().GetLat() < lat && lat < box.GetTopLeft().GetLat()
}

// inCircle measures the great-circle distance in metres on a sphere of the Earth's mean radius.
func inCircle(circle *qdrant.GeoRadius, lon, lat float64) bool {
	const meanRadius = 6371008.771415
	const radians = math.Pi / 180
	lat1, lat2 := circle.GetCenter().GetLat()*radians, lat*radians
	dLat, dLon := lat2-lat1, (lon-circle.GetCenter().GetLon())*radians
	a := math.Pow(math.Sin(dLat/2), 2) + math.Cos(lat1)*math.Cos(lat2)*math.Pow(math.Sin(dLon/2), 2)
	return 2*meanRadius*math.Asin(math.Sqrt(a)) < float64(circle.GetRadius())
}

// inPolygon leaves out the border of the polygon and its holes with theirs.
func inPolygon(polygon *qdrant.GeoPolygon, lon, lat float64) bool {
	inside, border := ringSide(polygon.GetExterior().GetPoints(), lon, lat)
	if border || !inside {
		return false
	}
	for _, hole := range polygon.GetInteriors() {
		if inside, border := ringSide(hole.GetPoints(), lon, lat); inside || border {
			return false
		}
	}
	return true
}

// ringSide casts a ray eastward and counts the crossings with a ring, which is closed if it isn't yet.
func ringSide(ring []*qdrant.GeoPoint, x, y float64) (inside, border bool) {
	for i, from := range ring {
		to := ring[(i+1)%len(ring)]
		x1, y1, x2, y2 := from.GetLon(), from.GetLat(), to.GetLon(), to.GetLat()
		cross := (x2-x1)*(y-y1) - (y2-y1)*(x-x1)
		if cross == 0 && min(x1, x2) <= x && x <= max(x1, x2) && min(y1, y2) <= y && y <= max(y1, y2) {
			return false, true
		}
		if (y1 > y) != (y2 > y) && x < (x2-x1)*(y-y1)/(y2-y1)+x1 {
			inside = !inside
		}
	}
	return inside, false
}
