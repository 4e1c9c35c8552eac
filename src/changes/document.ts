import { Type } from '@sinclair/typebox'

/** The header fields of a request for a stream. */
export const LastEventId = Type.Object({
  'last-event-id': Type.Optional(
    Type.String({ description: 'The `id` of the last event that you got: what you missed comes first' })
  )
})

/** The answer that is a stream. */
export const EventStream = {
  description: 'The events',
  content: { 'text/event-stream': { schema: { type: 'string' } } }
}

const CURRENT = 'as it is now, in this version or a newer one; null when it is gone by now'
const END =
  '`token_expired`: come again with a new token. `reconnect`, `replaced` (by a newer stream of yours): come again'

/**
 * Describes the events of a stream.
 *
 * @param names the members of the event of a change, `"id", "version"`
 * @param item the member that holds the item, `"task"`
 * @param singular what an item is called
 * @param lists what a client loads after a `reload`
 */
export const describeEvents = (names: string, item: string, singular: string, lists: string) =>
  `Server-sent events, to be read with \`fetch\`, since a token has no place in a URL.

| event | data | |
| --- | --- | --- |
| \`reload\` | \`{}\` | Load ${lists}: the first event, unless all that came after your \`Last-Event-ID\` follows |
| \`created\`, \`updated\` | \`{${names}, ${item}}\` | The ${singular} ${CURRENT} |
| \`deleted\` | \`{${names}}\` | |
| \`end\` | \`{"reason"}\` | ${END}, after \`retry\` |

A comment comes every 20 seconds at least.`
