package shape

import "google.golang.org/protobuf/encoding/protowire"

// part says what is made of a field of a message. Its zero value passes over it.
type part struct {
	how how
	// size or flag is what the field is told as.
	size size
	flag flag
	// in is the message that it holds, if that is looked into.
	in message
	// names is what the field's presence adds to, if it is named: bit of that set.
	names set
	bit   int
}

// how a field is read.
type how uint8

const (
	pass    how = iota
	into        // a message
	count       // adds one to a size, and looks into the first
	countIn     // adds one to a size, and looks into each
	largest     // a number: the size is that of the largest
	truthOf     // a bool: the flag is set if it is
	present     // the flag is set if the field is there; looks into it
	floats      // numbers of a dense or sparse vector
	indices     // that make the vector a sparse one
	rows        // into how many vectors the numbers are to be cut
	numbers     // numbers in a list, counted one by one
	order       // the enum of a WriteOrdering
)

// layout is what is looked at in a message, by number of the field; 0 stands for
// those that are newer than this table.
type layout map[protowire.Number]part

// message is a kind of message that has a layout.
type message int

const (
	nothing message = iota
	searchMessage
	searchBatchMessage
	searchGroupsMessage
	scrollMessage
	recommendMessage
	recommendBatchMessage
	recommendGroupsMessage
	discoverMessage
	discoverBatchMessage
	countMessage
	facetMessage
	matrixMessage
	getMessage
	queryMessage
	queryBatchMessage
	queryGroupsMessage
	prefetchMessage
	searchParams
	whatMessage
	recommendInput
	discoverInput
	contextInput
	inputPair
	mmrInput
	feedbackInput
	feedbackItem
	vectorInput
	vectorExample
	targetVector
	examplePair
	vectorMessage
	denseMessage
	sparseMessage
	multiMessage
	payloadSelector
	vectorsSelector
	filterMessage
	minShould
	condition
	fieldCondition
	match
	stringsList
	integersList
	hasID
	nestedCondition
	upsertMessage
	deleteMessage
	updateVectorsMessage
	deleteVectorsMessage
	setPayloadMessage
	deletePayloadMessage
	clearPayloadMessage
	updateBatchMessage
	operationMessage
	pointsList
	payloadOperation
	selectorFirst
	vectorsOperation
	createIndexMessage
	deleteIndexMessage
	createVectorMessage
	deleteVectorMessage
	pointMessage
	pointVectors
	vectorsMessage
	namedVectors
	namedVector
	selector
	idsList
	orderingMessage
)

// Parts that many messages have.
var (
	aFilter    = part{how: into, in: filterMessage}
	aLimit     = part{how: largest, size: limit}
	anOffset   = part{how: largest, size: offset}
	aGroupSize = part{how: largest, size: groupSize}
	aTimeout   = part{how: largest, size: timeout}
	params     = part{how: into, in: searchParams}
	payload    = part{how: into, in: payloadSelector}
	vectorsToo = part{how: into, in: vectorsSelector}
	threshold  = part{how: present, flag: scoreThreshold}
	anID       = part{how: count, size: ids}
	aVector    = part{how: into, in: vectorMessage}
	anInput    = part{how: into, in: vectorInput}
	anExample  = part{how: into, in: vectorExample}
	aPrefetch  = part{how: countIn, size: prefetchCount, in: prefetchMessage}
	what       = part{how: into, in: whatMessage}
	isExact    = part{how: truthOf, flag: exact}
	values     = part{how: floats}
	embedded   = part{how: present, flag: inference}

	isWait    = part{how: truthOf, flag: waits}
	anOrder   = part{how: into, in: orderingMessage}
	aSelector = part{how: into, in: selector}
	onlyIf    = part{how: present, flag: conditional, in: filterMessage}
	aPoint    = part{how: count, size: points, in: pointMessage}
	aPointsV  = part{how: count, size: points, in: pointVectors}
	oneID     = part{how: count, size: points}
)

func named(in set, bit int, p part) part {
	p.names, p.bit = in, bit
	return p
}

// kindOf is a query of a kind, of which in is looked into.
func kindOf(bit int, in message) part {
	p := part{in: in}
	if in != nothing {
		p.how = into
	}
	return named(queryKinds, bit, p)
}

func clause(bit int, in message) part {
	return named(clauses, bit, part{how: into, in: in})
}

// leaf is a condition of a kind, of which in is looked into.
func leaf(bit int, in message) part {
	return named(conditionKinds, bit, part{how: countIn, size: conditions, in: in})
}

func onAField(bit int) part { return named(conditionKinds, onField+bit, part{}) }

func matching(bit int, in message) part {
	p := part{in: in}
	if in != nothing {
		p.how = into
	}
	return named(conditionKinds, onMatch+bit, p)
}

func operation(bit int, in message) part {
	return named(operationKinds, bit, part{how: countIn, size: operations, in: in})
}

// batchOf is a request with several of these.
func batchOf(in message) layout {
	return layout{2: {how: countIn, size: queries, in: in}, 4: aTimeout}
}

// layouts are those of Qdrant 1.19.
var layouts = [...]layout{
	nothing:                {},
	searchMessage:          {2: values, 3: aFilter, 4: aLimit, 6: payload, 7: params, 8: threshold, 9: anOffset, 11: vectorsToo, 13: aTimeout, 15: {how: indices}},
	searchBatchMessage:     batchOf(searchMessage),
	searchGroupsMessage:    {2: values, 3: aFilter, 4: aLimit, 5: payload, 6: params, 7: threshold, 9: vectorsToo, 11: aGroupSize, 14: aTimeout, 16: {how: indices}},
	scrollMessage:          {2: aFilter, 3: {}, 4: aLimit, 6: payload, 7: vectorsToo, 10: {how: present, flag: ordered}, 11: aTimeout},
	recommendMessage:       {2: anID, 3: anID, 4: aFilter, 5: aLimit, 7: payload, 8: params, 9: threshold, 10: anOffset, 12: vectorsToo, 17: aVector, 18: aVector, 19: aTimeout},
	recommendBatchMessage:  batchOf(recommendMessage),
	recommendGroupsMessage: {2: anID, 3: anID, 4: aFilter, 5: aLimit, 6: payload, 7: params, 8: threshold, 10: vectorsToo, 13: aGroupSize, 18: aVector, 19: aVector, 20: aTimeout},
	discoverMessage: {
		2: {how: into, in: targetVector}, 3: {how: into, in: examplePair}, 4: aFilter, 5: aLimit, 6: payload, 7: params, 8: anOffset, 10: vectorsToo, 13: aTimeout,
	},
	discoverBatchMessage: batchOf(discoverMessage),
	countMessage:         {2: aFilter, 3: isExact, 6: aTimeout},
	facetMessage:         {3: aFilter, 4: aLimit, 5: isExact, 6: aTimeout},
	matrixMessage:        {2: aFilter, 3: {how: largest, size: sample}, 4: aLimit, 6: aTimeout},
	getMessage:           {2: anID, 4: payload, 5: vectorsToo, 8: aTimeout},
	queryMessage:         {2: aPrefetch, 3: what, 5: aFilter, 6: params, 7: threshold, 8: aLimit, 9: anOffset, 10: vectorsToo, 11: payload, 15: aTimeout},
	queryBatchMessage:    batchOf(queryMessage),
	queryGroupsMessage:   {2: aPrefetch, 3: what, 5: aFilter, 6: params, 7: threshold, 8: payload, 9: vectorsToo, 11: aLimit, 12: aGroupSize, 16: aTimeout},
	prefetchMessage:      {1: aPrefetch, 2: what, 4: aFilter, 5: params, 6: threshold, 7: {how: largest, size: prefetchLimit}},
	searchParams:         {1: {how: largest, size: hnswEf}, 2: isExact, 4: {how: truthOf, flag: indexedOnly}},
	payloadSelector:      {1: {how: truthOf, flag: withPayload}, 2: {how: present, flag: withPayload}, 3: {how: present, flag: withPayload}},
	vectorsSelector:      {1: {how: truthOf, flag: withVectors}, 2: {how: present, flag: withVectors}},

	// What is looked for.
	whatMessage: {
		0: kindOf(12, nothing), 1: kindOf(1, vectorInput), 2: kindOf(2, recommendInput), 3: kindOf(3, discoverInput), 4: kindOf(4, contextInput),
		5: named(queryKinds, 5, part{how: present, flag: ordered}), 6: kindOf(6, nothing), 7: kindOf(7, nothing), 8: kindOf(8, nothing), 9: kindOf(9, mmrInput),
		10: kindOf(10, nothing), 11: kindOf(11, feedbackInput),
	},
	recommendInput: {1: anInput, 2: anInput},
	discoverInput:  {1: anInput, 2: {how: into, in: contextInput}},
	contextInput:   {1: {how: into, in: inputPair}},
	inputPair:      {1: anInput, 2: anInput},
	mmrInput:       {1: anInput},
	feedbackInput:  {1: anInput, 2: {how: into, in: feedbackItem}},
	feedbackItem:   {1: anInput},
	vectorInput:    {1: anID, 2: {how: into, in: denseMessage}, 3: {how: into, in: sparseMessage}, 4: {how: into, in: multiMessage}, 5: embedded, 6: embedded, 7: embedded},
	vectorExample:  {1: anID, 2: aVector},
	targetVector:   {1: anExample},
	examplePair:    {1: anExample, 2: anExample},
	vectorMessage: {
		1: values, 2: {how: indices}, 3: {how: rows}, 101: {how: into, in: denseMessage}, 102: {how: into, in: sparseMessage}, 103: {how: into, in: multiMessage},
		104: embedded, 105: embedded, 106: embedded,
	},
	denseMessage:  {1: values},
	sparseMessage: {1: values, 2: {how: indices}},
	multiMessage:  {1: {how: into, in: denseMessage}},

	// Filters.
	filterMessage: {0: clause(5, nothing), 1: clause(1, condition), 2: clause(2, condition), 3: clause(3, condition), 4: clause(4, minShould)},
	minShould:     {1: {how: into, in: condition}},
	condition: {
		0: leaf(8, nothing), 1: {how: countIn, size: conditions, in: fieldCondition}, 2: leaf(2, nothing), 3: leaf(3, hasID),
		4: named(conditionKinds, 4, aFilter), 5: leaf(5, nothing), 6: named(conditionKinds, 6, part{how: into, in: nestedCondition}), 7: leaf(7, nothing),
	},
	fieldCondition: {
		0: named(conditionKinds, 8, part{}), 1: {}, 2: {how: into, in: match}, 3: onAField(3), 4: onAField(4), 5: onAField(5), 6: onAField(6),
		7: onAField(7), 8: onAField(8), 9: onAField(9), 10: onAField(10),
	},
	match: {
		0: named(conditionKinds, 8, part{}), 1: matching(1, nothing), 2: matching(2, nothing), 3: matching(3, nothing), 4: matching(4, nothing),
		5: matching(5, stringsList), 6: matching(6, integersList), 7: matching(7, integersList), 8: matching(8, stringsList), 9: matching(9, nothing), 10: matching(10, nothing),
	},
	stringsList:     {1: {how: count, size: filterValues}},
	integersList:    {1: {how: numbers, size: filterValues}},
	hasID:           {1: {how: count, size: filterValues}},
	nestedCondition: {2: aFilter},

	// Writes.
	upsertMessage:        {2: isWait, 3: aPoint, 4: anOrder, 6: onlyIf, 7: aTimeout},
	deleteMessage:        {2: isWait, 3: aSelector, 4: anOrder, 6: aTimeout},
	updateVectorsMessage: {2: isWait, 3: aPointsV, 4: anOrder, 6: onlyIf, 7: aTimeout},
	deleteVectorsMessage: {2: isWait, 3: aSelector, 5: anOrder, 7: aTimeout},
	setPayloadMessage:    {2: isWait, 5: aSelector, 6: anOrder, 9: aTimeout},
	deletePayloadMessage: {2: isWait, 5: aSelector, 6: anOrder, 8: aTimeout},
	clearPayloadMessage:  {2: isWait, 3: aSelector, 4: anOrder, 6: aTimeout},
	createIndexMessage:   {2: isWait, 6: anOrder, 7: aTimeout},
	deleteIndexMessage:   {2: isWait, 4: anOrder, 5: aTimeout},
	createVectorMessage:  {2: isWait, 6: aTimeout, 7: anOrder},
	deleteVectorMessage:  {2: isWait, 4: aTimeout, 5: anOrder},
	updateBatchMessage:   {2: isWait, 3: {how: into, in: operationMessage}, 4: anOrder, 5: aTimeout},
	operationMessage: {
		0: operation(11, nothing), 1: operation(1, pointsList), 2: operation(2, selector), 3: operation(3, payloadOperation), 4: operation(4, payloadOperation),
		5: operation(5, payloadOperation), 6: operation(6, selector), 7: operation(7, vectorsOperation), 8: operation(8, selectorFirst),
		9: operation(9, selectorFirst), 10: operation(10, selectorFirst),
	},
	pointsList:       {1: aPoint, 3: onlyIf},
	vectorsOperation: {1: aPointsV, 3: onlyIf},
	payloadOperation: {2: aSelector},
	selectorFirst:    {1: aSelector},
	pointMessage:     {4: {how: into, in: vectorsMessage}},
	pointVectors:     {2: {how: into, in: vectorsMessage}},
	vectorsMessage:   {1: aVector, 2: {how: into, in: namedVectors}},
	namedVectors:     {1: {how: into, in: namedVector}},
	namedVector:      {2: aVector},
	selector:         {1: {how: into, in: idsList}, 2: {how: present, flag: byFilter, in: filterMessage}},
	idsList:          {1: oneID},
	orderingMessage:  {1: {how: order}},
}

// request is what a method takes.
type request struct {
	group   group
	request message
}

// requests are the methods whose requests are looked into, by their paths.
var requests = map[string]request{
	"/qdrant.Points/Search":              {query, searchMessage},
	"/qdrant.Points/SearchBatch":         {query, searchBatchMessage},
	"/qdrant.Points/SearchGroups":        {query, searchGroupsMessage},
	"/qdrant.Points/Scroll":              {query, scrollMessage},
	"/qdrant.Points/Recommend":           {query, recommendMessage},
	"/qdrant.Points/RecommendBatch":      {query, recommendBatchMessage},
	"/qdrant.Points/RecommendGroups":     {query, recommendGroupsMessage},
	"/qdrant.Points/Discover":            {query, discoverMessage},
	"/qdrant.Points/DiscoverBatch":       {query, discoverBatchMessage},
	"/qdrant.Points/Count":               {query, countMessage},
	"/qdrant.Points/Facet":               {query, facetMessage},
	"/qdrant.Points/SearchMatrixPairs":   {query, matrixMessage},
	"/qdrant.Points/SearchMatrixOffsets": {query, matrixMessage},
	"/qdrant.Points/Get":                 {query, getMessage},
	"/qdrant.Points/Query":               {query, queryMessage},
	"/qdrant.Points/QueryBatch":          {query, queryBatchMessage},
	"/qdrant.Points/QueryGroups":         {query, queryGroupsMessage},

	"/qdrant.Points/Upsert":           {write, upsertMessage},
	"/qdrant.Points/Delete":           {write, deleteMessage},
	"/qdrant.Points/UpdateVectors":    {write, updateVectorsMessage},
	"/qdrant.Points/DeleteVectors":    {write, deleteVectorsMessage},
	"/qdrant.Points/SetPayload":       {write, setPayloadMessage},
	"/qdrant.Points/OverwritePayload": {write, setPayloadMessage},
	"/qdrant.Points/DeletePayload":    {write, deletePayloadMessage},
	"/qdrant.Points/ClearPayload":     {write, clearPayloadMessage},
	"/qdrant.Points/UpdateBatch":      {write, updateBatchMessage},
	"/qdrant.Points/CreateFieldIndex": {write, createIndexMessage},
	"/qdrant.Points/DeleteFieldIndex": {write, deleteIndexMessage},
	"/qdrant.Points/CreateVectorName": {write, createVectorMessage},
	"/qdrant.Points/DeleteVectorName": {write, deleteVectorMessage},
}
