// The mutations: ways to break the isolation of users, and some other promises, each with the test that must notice.
// `mutations.ts` applies them, and `npm run check` verifies that each still fits the source and its test.
import type { Mutation } from './mutation.ts'

const ISOLATION = 'routes/contract.test'
const NOBODY = 'nobody reaches the tasks of somebody else, RLS false'
const MODEL = 'whatever several users do, each has what a model of theirs has'
const OWNED = 'src/db/owned.test'
const CONNECTION = 'src/db/connection.test'
const SHARE = 'writes share a connection, each of an owner who has nothing else in flight'
const WIDENS = 'no condition of a store widens the filter'
const ROW_SECURITY = 'src/db/row-security.test'
const NAMES = 'with row-level security a statement names its owner, and the name ends with it'
const FORGOTTEN = 'with row-level security a statement whose filter was forgotten returns nothing and changes nothing'

const FEED = "with row-level security a feed and its changes are its owner's alone"
const EVENTS = 'routes/events.test'
const GAPS = 'whoever was away too long'
const SWEPT = 'changes and feeds are swept'
const HEARS = 'while several users write at once, each hears of their own items'
const STREAMS = 'plugins/streams.test'
const COMMON = 'routes/common-events.test'
const LATE = 'src/db/late.test'
const SET_AT = 'what the server sets, or clients set at creation only, is refused elsewhere'
const ENGINE = 'src/resource/contract.slow.test'
const MIXED = 'routes/mixed-batch.test'
const LISTS = 'each order and each filter lists what it says'
const CURSORS = 'a cursor is good for its own order and filters only'
const LARGEST = 'the largest batch is done once, and repeated from the ids of its items'
const LIES = 'lies about the owner of a batch, of a key and of a count change nothing'
const FULL = 'a user who has stored all that they may can still make it less'
const FOLDERS = 'src/resource/folders.slow.test'
const PAPERS = 'src/resource/papers.slow.test'
const CLIPS = 'src/resource/clips.slow.test'
const BOUNDED = 'are bounded per user and in all'
const TOLD = 'each is told as it happens'

const NEVER_OLDER = 'what is known of an item is never replaced by something older'

/** Ways to break `rowkeeper/client`: file, text, what replaces it, and the test that must notice. */
const CLIENT: Mutation[] = (
  [
    [
      'an answer that is older than a deletion',
      'rows',
      'if ((this.#goneAt.get(item.id) ?? 0) > since) return',
      '',
      'live',
      NEVER_OLDER
    ],
    ['an older version', 'rows', 'if ((known?.item.version ?? 0) > item.version) return', '', 'live', NEVER_OLDER],
    ['a reload that forgets what came meanwhile', 'rows', 'if (at <= since) ', '', 'live', NEVER_OLDER],
    [
      'items of later pages',
      'rows',
      'edge === undefined || by(item, edge) <= 0',
      'true',
      'live',
      'pages are loaded one after the other'
    ],
    [
      'a stream that begins anew',
      'stream',
      'connect(this.#lastId, signal)',
      'connect(undefined, signal)',
      'changes',
      'goes on where it broke off'
    ],
    [
      'tabs of all users together',
      'tabs',
      'new TextEncoder().encode(',
      'new TextEncoder().encode(url || ',
      'changes',
      'of the tabs of a user one holds the stream'
    ],
    [
      'a token of another user',
      'token',
      'token.subject !== this.subject',
      'token.subject === null',
      'token',
      "another user's token ends"
    ],
    [
      'a write without a precondition that is sent again',
      'send',
      "method === 'GET' ||",
      "method !== 'POST' ||",
      'send',
      'a write that could undo what others did'
    ],
    [
      'a Retry-After that is not kept',
      'send',
      'return jittered(retryAfter)',
      'return jittered(0.1)',
      'send',
      'waits as long as it is told'
    ]
  ] as const
).map(([what, file, find, put, test, title]) => ({
  what: `client: ${what}`,
  file: `client/${file}.ts`,
  find,
  put,
  test: `client/${test}.test`,
  title
}))

const unrecorded = (kind: string): Mutation => ({
  what: `events: a row that is ${kind} without its record`,
  file: 'src/db/owned.ts',
  find: 'if (!recorded ',
  put: `if (!recorded || kind === '${kind}' `,
  test: EVENTS,
  title: TOLD
})

const filterOf = (statement: string, find: string, test: string, title: string): Mutation => ({
  what: `${statement} without the owner's filter`,
  file: 'src/db/owned.ts',
  find: `${find}.where(own(conditions))`,
  put: `${find}.where(and(...conditions))`,
  test,
  title
})

const ROUTES = {
  list: ['collection', 'user.sub'],
  create: ['collection', 'user.sub'],
  get: ['item', 'request.user.sub'],
  update: ['item', 'user.sub'],
  remove: ['item', 'user.sub']
} as const

const source = ([method, [file, owner]]: [string, readonly [string, string]]): Mutation[] =>
  ["request.headers['x-user-id']", 'request.query.userId'].map((other) => ({
    what: `store.${method} for ${other}`,
    file: `src/resource/routes/${file}.ts`,
    find: `store.${method}(${owner}`,
    put: `store.${method}(${other} ?? ${owner}`,
    test: ISOLATION,
    title: NOBODY
  }))

export const MUTATIONS: readonly Mutation[] = [
  {
    what: 'a connection that has sent nothing, left open at the end',
    file: 'plugins/drain.ts',
    find: 'if (socket.bytesRead === 0) socket.destroy()',
    put: 'void socket',
    test: 'plugins/drain.test',
    title: 'does not delay the end'
  },
  filterOf('select', '.from(bound)', ISOLATION, NOBODY),
  filterOf('update', '.set({ ...change, userId: undefined })', ISOLATION, NOBODY),
  filterOf('delete', 'db.delete(bound)', ISOLATION, NOBODY),
  {
    what: 'a filter that compares otherwise',
    file: 'src/db/owned.ts',
    find: 'and(eq(table.userId, owner)',
    put: `and(sql\`\${table.userId} >= \${owner}\``,
    test: ISOLATION,
    title: NOBODY
  },
  {
    what: 'an insert for somebody else',
    file: 'src/db/owned.ts',
    find: 'NAMED_OWNER : owner }',
    put: "NAMED_OWNER : 'bob' }",
    test: ISOLATION,
    title: NOBODY
  },
  {
    what: 'conditions without parentheses',
    file: 'src/db/owned.ts',
    find: `sql\`(\${one})\``,
    put: 'one',
    test: OWNED,
    title: WIDENS
  },
  {
    what: 'an owner that the values can replace',
    file: 'src/db/statement.ts',
    find: '(owner) => owner',
    put: '(owner, values) => values[name] ?? owner',
    test: OWNED,
    title: WIDENS
  },
  ...Object.entries(ROUTES).flatMap(source),
  {
    what: 'bodies that may say more than the declaration',
    file: 'src/resource/schemas.ts',
    find: 'title, additionalProperties: false, ...(isCreate',
    put: 'title, ...(isCreate',
    test: ISOLATION,
    title: NOBODY
  },
  {
    what: 'an update that may give a row away',
    file: 'src/db/owned.ts',
    find: '{ ...change, userId: undefined }',
    put: 'change',
    test: OWNED,
    title: WIDENS
  },
  {
    what: "the driver's own retry of stale statements",
    file: 'src/db/query.ts',
    find: 'set retried(',
    put: 'set anything(',
    test: OWNED,
    title: 'a statement whose plan went stale under a user'
  },
  {
    what: 'a connection that is not given up with the error of its socket',
    file: 'src/db/connection.ts',
    find: 'if (isBroken(error)) this.#destroy()\n',
    put: 'if (isBroken(error)) void 0\n',
    test: CONNECTION,
    title: 'what comes with the error of the socket fails'
  },
  {
    what: 'rows that a failed statement left for the next',
    file: 'src/db/query.ts',
    find: 'this.#resolve(withoutHoles(rows))',
    put: 'this.#resolve(rows)',
    test: 'src/db/connection-state.test',
    title: 'nor does it over HTTP, where the next is of another user'
  },
  {
    what: 'a connection that connects again',
    file: 'src/db/session.ts',
    find: 'this.#hasEnded || (this.#socket !== undefined && !this.#isCancelling)',
    put: 'false',
    test: 'src/db/slot.test',
    title: 'a server that hangs up is not called again and again'
  },
  {
    what: 'writes of others that PostgreSQL does after they were refused',
    file: 'src/db/session.ts',
    find: 'const CANCEL_MS = 1000',
    put: 'const CANCEL_MS = 1',
    test: LATE,
    title: 'of writes that share a connection',
    server: true
  },
  {
    what: 'a pool that closes and cancels nothing',
    file: 'src/db/session.ts',
    find: 'await this.cancel(CANCEL_BRIEFLY_MS)\n',
    put: '',
    test: LATE,
    title: 'what the pool was sent and told nobody of is cancelled when it closes',
    server: true
  },
  {
    what: 'a pool that closes before what was given up is cancelled',
    file: 'src/db/open.ts',
    find: 'pool.settled(), ',
    put: '',
    test: LATE,
    title: 'a pool is closed when what was given up is cancelled',
    server: true
  },
  {
    what: 'a write of others that is done behind what its owner has sent since',
    file: 'src/db/pool.ts',
    find: '!lane.hasOthers(owner)',
    put: 'true',
    test: LATE,
    title: 'a write of others is not done once more behind what its owner has sent since',
    server: true
  },
  {
    what: 'a commit that no standby has, acknowledged',
    file: 'src/db/session.ts',
    find: "routine === 'SyncRepWaitForLSN' && ",
    put: 'routine === undefined && ',
    test: LATE,
    title: 'a commit whose wait for a synchronous standby was cancelled'
  },
  {
    what: 'what waits for a new connection in another order',
    file: 'src/db/connection.ts',
    find: 'for (const query of this.#queue.splice(0)) {\n      if (this.#mayExecute',
    put: 'for (const query of this.#queue.splice(0).reverse()) {\n      if (this.#mayExecute',
    test: CONNECTION,
    title: 'what waits for the connection is sent in its order'
  },
  {
    what: 'statements of others within a transaction',
    file: 'src/db/connection.ts',
    find: '(this.#reserved === undefined || this.#reserved === first)',
    put: 'true',
    test: CONNECTION,
    title: 'a transaction has the connection to itself'
  },
  {
    what: 'a connection that stays with a server that became read-only',
    file: 'src/db/connection.ts',
    find: ' || isReadOnly(error)',
    put: '',
    test: CONNECTION,
    title: 'a connection to a server that became read-only closes'
  },
  {
    what: 'RSA signatures that lack a zero',
    file: 'src/auth/signature.ts',
    find: 'modulusLength !== undefined &&',
    put: 'false &&',
    test: 'src/auth/signatures.test',
    title: 'an RSA signature that lacks its leading zero'
  },
  {
    what: 'the userId claim as the owner',
    file: 'src/auth/claims.ts',
    find: 'const { sub, exp,',
    put: 'const { userId: sub = claims.sub, exp,',
    test: 'plugins/auth.test',
    title: 'a good token is let in, and only its subject is believed'
  },
  {
    what: 'verdicts that are remembered by a part of the token',
    file: 'src/auth/verifier.ts',
    find: 'verdicts.get(text)',
    put: "verdicts.get([...verdicts.keys()].find((one) => one.split('.')[0] === text.split('.')[0]) ?? text)",
    test: ISOLATION,
    title: NOBODY
  },
  {
    what: 'routes under /api without a verified caller',
    file: 'routes/api/autohooks.ts',
    find: '[authenticate, admit, app.limitUser, ...own]',
    put: '[optional, admit, app.limitUser, ...own]',
    test: 'routes/tokens.test',
    title: 'every route under /api needs a token'
  },
  {
    what: 'the owner in the answer',
    file: 'src/resource/declaration.ts',
    find: 'id: table.id,',
    put: 'id: table.id, userId: table.userId,',
    test: ISOLATION,
    title: NOBODY
  },
  {
    what: 'engine: an update that sets a member to null that it does not name',
    file: 'src/resource/store.ts',
    find: 'given !== undefined',
    put: 'true',
    test: ISOLATION,
    title: MODEL
  },
  {
    what: 'engine: an update that keeps a member which it sets to null',
    file: 'src/resource/store.ts',
    find: 'given !== undefined',
    put: 'parameter(member, given) !== null',
    test: ISOLATION,
    title: MODEL
  },
  {
    what: 'engine: members of a create in an update',
    file: 'src/resource/schemas.ts',
    find: "setBy === 'client'",
    put: "setBy !== 'server'",
    test: ENGINE,
    title: SET_AT
  },
  {
    what: 'engine: members of the server in a create',
    file: 'src/resource/schemas.ts',
    find: "setBy !== 'server'",
    put: 'setBy !== undefined',
    test: ENGINE,
    title: SET_AT
  },
  {
    what: 'engine: a filter that is left out where it is the only one',
    file: 'src/resource/list.ts',
    find: 'list.filters.every(',
    put: 'list.filters.slice(1).every(',
    test: ENGINE,
    title: LISTS
  },
  {
    what: 'engine: a total of all items, whatever the filters',
    file: 'src/resource/list.ts',
    find: 'own.select({ count: sql<number>`count(*)::int` }, ...conditions)',
    put: 'own.select({ count: sql<number>`count(*)::int` })',
    test: ENGINE,
    title: LISTS
  },
  {
    what: 'engine: a cursor that is not bound to the order',
    file: 'src/resource/cursor.ts',
    find: 'JSON.stringify([sort.name, ...filters',
    put: 'JSON.stringify([...filters',
    test: ENGINE,
    title: CURSORS
  },
  {
    what: 'engine: a text that is found only as it was composed',
    file: 'src/resource/filters.ts',
    find: 'decomposed === composed ? null : decomposed',
    put: 'null',
    test: ENGINE,
    title: LISTS
  },
  {
    what: 'engine smoke: a text that is sorted as it is written',
    file: 'src/resource/kinds.ts',
    find: `sql\`lower(\${value}::text collate "C")\``,
    put: `sql\`\${value}::text collate "C"\``,
    test: ENGINE,
    title: LISTS
  },
  {
    what: 'engine: decimal numbers that are sorted as doubles',
    file: 'src/resource/kinds.ts',
    find: `of: (value) => sql\`\${value}::numeric\``,
    put: `of: (value) => sql\`\${value}::float8::numeric\``,
    test: ENGINE,
    title: LISTS
  },
  {
    what: 'engine: a default other than that of the column',
    file: 'src/resource/members.ts',
    find: ': encoded(fallback)',
    put: `: encoded(typeof fallback === 'number' ? fallback + 1 : fallback)`,
    test: ENGINE,
    title: MODEL
  },
  {
    what: 'engine: null first in one direction',
    file: 'src/resource/sorts.ts',
    find: `descending ? sql\`'-infinity'\` : sql\`'infinity'\``,
    put: `sql\`'infinity'\``,
    test: ENGINE,
    title: LISTS
  },
  {
    what: 'engine: a bound that is compared as if it were beyond itself',
    file: 'src/resource/filters.ts',
    find: `'>='`,
    put: `'>'`,
    test: ENGINE,
    title: LISTS
  },
  {
    what: 'engine: a key that is cut between the halves of a character',
    file: 'src/resource/sorts.ts',
    find: `[...text].slice(0, SORT_CHARACTERS).join('')`,
    put: 'text.slice(0, SORT_CHARACTERS)',
    test: ENGINE,
    title: LISTS
  },
  {
    what: 'engine: long texts that are compared beyond what a cursor has',
    file: 'src/resource/sorts.ts',
    find: 'isLong(member) ? sql`left(',
    put: 'false ? sql`left(',
    test: ENGINE,
    title: LISTS
  },
  {
    what: 'engine: an empty text as null in a cursor',
    file: 'src/resource/cursor.ts',
    find: `key === '' ? '\\0' : (key ?? '')`,
    put: `(key ?? '')`,
    test: ENGINE,
    title: LISTS
  },
  {
    what: 'engine smoke: links that forget the first filter',
    file: 'src/resource/cursor.ts',
    find: 'of filters) {',
    put: 'of filters.slice(1)) {',
    test: ENGINE,
    title: LISTS
  },
  {
    what: 'engine: a document that looks like the start of an item',
    file: 'src/resource/list.ts',
    find: `declaration.hasDocuments ? ',\\n' : ','`,
    put: `','`,
    test: ENGINE,
    title: LISTS
  },
  {
    what: 'engine: an update that is as old as the creation',
    file: 'src/resource/statements.ts',
    find: `greatest(now(), \${table.createdAt})`,
    put: `\${table.updatedAt}`,
    test: ENGINE,
    title: 'an update is later than the creation'
  },
  {
    what: 'engine: a creation at another time than the id says',
    file: 'src/resource/inserts.ts',
    find: 'createdAt: timeOf(id)',
    put: `createdAt: timeOf(id.replace(/^.{8}/, '01900000'))`,
    test: ENGINE,
    title: MODEL
  },
  {
    what: 'engine smoke: a batch that ignores the version of an update',
    file: 'src/resource/operations.ts',
    find: 'change, conditionOf(version)',
    put: 'change, UNCONDITIONAL',
    test: ENGINE,
    title: MODEL
  },
  {
    what: 'engine: a batch that points to the last operation',
    file: 'src/resource/operations.ts',
    find: 'operations[i] as Operation',
    put: 'operations.at(-1) as Operation',
    test: ENGINE,
    title: MODEL
  },
  {
    what: 'engine smoke: a batch for the owner of a header',
    file: 'src/resource/routes/operations.ts',
    find: 'runOperations(operations, user.sub',
    put: `runOperations(operations, headers['x-user-id'] ?? user.sub`,
    test: ENGINE,
    title: LIES
  },
  {
    what: 'engine: a key of the owner of a header',
    file: 'src/resource/routes/collection.ts',
    find: 'idempotent(user.sub',
    put: `idempotent(request.headers['x-user-id'] ?? user.sub`,
    test: ENGINE,
    title: 'nobody reaches the samples of somebody else, RLS false'
  },
  {
    what: 'engine: a repeated batch without its updates',
    file: 'src/resource/batch.ts',
    find: '...updated.map',
    put: '...[].map',
    test: ENGINE,
    title: LARGEST
  },
  {
    what: 'engine: operations on several resources for a token that may read them',
    file: 'routes/api/batch/index.ts',
    find: 'grants(user, scope)',
    put: `grants(user, scope.replace('write', 'read'))`,
    test: MIXED,
    title: 'a token needs the scope of each resource that is named'
  },
  {
    what: 'engine: operations on several resources that lock their items in another order',
    file: 'src/resource/operations.ts',
    find: '? -1 : 1',
    put: '? 0 : 0',
    test: MIXED,
    title: 'batches that meet lose nothing'
  },
  {
    what: 'engine: operations on several resources that are told by the last error',
    file: 'src/resource/operations.ts',
    find: 'return outcomes.map(',
    put: `const last = outcomes.findLast(({ status }) => status === 'rejected')
  if (last !== undefined) throw last.reason
  return outcomes.map(`,
    test: MIXED,
    title: 'an error of the database is told with its pointer, and not what follows from it'
  },
  {
    what: 'engine: a key that is bound to the order of members',
    file: 'src/resource/digest.ts',
    find: '.sort(([a], [b]) => (a < b ? -1 : 1))',
    put: '',
    test: ENGINE,
    title: 'a POST with a key is done once'
  },
  {
    what: 'engine: a request that is done although its key was stored meanwhile',
    file: 'src/resource/idempotency.ts',
    find: 'if (kept.length === 0)',
    put: 'if (kept.length === 2)',
    test: 'routes/idempotency.test',
    title: 'a key that another transaction stored in the meantime is a 409'
  },
  {
    what: 'engine: updates that a full quota does not refuse',
    file: 'src/resource/size.ts',
    find: '> before',
    put: '< before',
    test: ENGINE,
    title: FULL
  },
  {
    what: 'engine: a merge patch in place of a document',
    file: 'src/resource/routes/item.ts',
    find: 'if (hasDocuments && request',
    put: 'if (false && request',
    test: ENGINE,
    title: 'a merge patch is taken where it means the same'
  },
  {
    what: 'a policy that lets everything through',
    file: 'drizzle/0001_row_level_security.sql',
    find: `USING ("tasks"."user_id" = current_setting('rowkeeper.owner', true)) WITH CHECK ("tasks"."user_id" = current_setting('rowkeeper.owner', true))`,
    put: 'USING (true) WITH CHECK (true)',
    test: ROW_SECURITY,
    title: FORGOTTEN
  },
  {
    what: 'a policy that does not look at what is written',
    file: 'drizzle/0001_row_level_security.sql',
    find: `WITH CHECK ("tasks"."user_id" = current_setting('rowkeeper.owner', true))`,
    put: 'WITH CHECK (true)',
    test: ROW_SECURITY,
    title: FORGOTTEN
  },
  {
    what: 'tables without row-level security',
    file: 'drizzle/0001_row_level_security.sql',
    find: 'ALTER TABLE "tasks" ENABLE ROW LEVEL SECURITY',
    put: 'SELECT 1',
    test: ROW_SECURITY,
    title: 'readiness reports row-level security that does not bind the role'
  },
  {
    what: 'an owner who stays named after the transaction',
    file: 'src/db/row-security.ts',
    find: `\${sql.placeholder(OWNER)}, true)`,
    put: `\${sql.placeholder(OWNER)}, false)`,
    test: ROW_SECURITY,
    title: NAMES
  },
  {
    what: 'statements with row-level security that name nobody',
    file: 'src/db/owned.ts',
    find: '...[...naming, ...conditions]',
    put: '...conditions',
    test: ROW_SECURITY,
    title: NAMES
  },
  {
    what: 'new rows with row-level security that name nobody',
    file: 'src/db/owned.ts',
    find: 'namesOwner ? NAMED_OWNER : owner',
    put: 'owner',
    test: ROW_SECURITY,
    title: NAMES
  },
  {
    what: 'a condition that names the owner after the policy was checked',
    file: 'src/db/row-security.ts',
    find: `(select \${NAMED_OWNER}) is not null`,
    put: `\${NAMED_OWNER} is not null`,
    test: 'src/db/row-security-plans.slow.test',
    title: 'every plan names the owner before a policy reads the name'
  },
  {
    what: 'an owner who is named for the session on Citus',
    file: 'docs/citus.sql',
    find: "'set local rowkeeper.owner = %L'",
    put: "'set rowkeeper.owner = %L'",
    test: 'src/db/citus.slow.test',
    title: 'the script names any owner, until the transaction ends'
  },
  {
    what: 'a database that triggers and statements record changes of',
    file: 'src/db/distribution.ts',
    find: 'this.#triggers = some',
    put: 'this.#triggers = false',
    test: 'src/db/citus.slow.test',
    title: 'where triggers record the changes, each is recorded once'
  },
  ...['created', 'updated', 'deleted'].map(unrecorded),
  {
    what: `events: a stream for whom the query names`,
    file: 'plugins/streams.ts',
    find: `streamOf(feeds, sub,`,
    put: `streamOf(feeds, request.query.userId ?? sub,`,
    test: ISOLATION,
    title: HEARS
  },
  {
    what: `events: streams without a scope`,
    file: 'src/resource/routes/events.ts',
    find: `onRequest: read,`,
    put: ``,
    test: STREAMS,
    title: 'need a scope'
  },
  {
    what: `events: a stream of all resources without their scopes`,
    file: 'routes/api/events/index.ts',
    find: `grants(user, scopeOf(name, 'read'))`,
    put: `true`,
    test: COMMON,
    title: 'needs the scope of each resource'
  },
  {
    what: `events: an item of another resource that has the same id`,
    file: 'src/changes/stream.ts',
    find: `items.get(told.source)?.get(told.change.id)`,
    put: `[...items.values()].find((one) => one.has(told.change.id))?.get(told.change.id)`,
    test: COMMON,
    title: 'tells an item by its resource and its id'
  },
  {
    what: `events: a notification that wakes nobody`,
    file: 'src/changes/hub.ts',
    find: `#byKey.set(key, subscription.streams)`,
    put: `#byKey.set(owner, subscription.streams)`,
    test: EVENTS,
    title: TOLD
  },
  {
    what: `events: no wait for writes that did not see the feed`,
    file: 'src/changes/feed.ts',
    find: `tries < SETTLE_TRIES`,
    put: `tries < 0`,
    test: STREAMS,
    title: 'wait for writes that may not have seen the feed'
  },
  {
    what: `events: a feed that counts as settled at once`,
    file: 'src/changes/feed.ts',
    find: `pg_snapshot_xmin(pg_current_snapshot())`,
    put: `pg_snapshot_xmax(pg_current_snapshot())`,
    test: STREAMS,
    title: 'begin when a write is over that did not see the feed',
    server: true
  },
  {
    what: `events: tasks of a batch that are locked as it comes to them`,
    file: 'src/resource/operations.ts',
    find: `store.lock(`,
    put: `store.getAll(`,
    test: 'routes/batch.test',
    title: 'batches that meet lose nothing',
    server: true
  },
  {
    what: `events: a purge that takes its locks the other way round`,
    file: 'src/db/user-data.ts',
    find: `of tables) await`,
    put: `of tables.toReversed()) await`,
    test: 'src/commands/user.slow.test',
    title: 'a purge waits for a write that is under way',
    server: true
  },
  {
    what: `events: streams that outlive their token`,
    file: 'plugins/streams.ts',
    find: `Math.min(left, STREAM_MAX_MS)`,
    put: `STREAM_MAX_MS`,
    test: STREAMS,
    title: 'end with the token'
  },
  {
    what: `events: streams that outlive their key`,
    file: 'plugins/streams.ts',
    find: `hub.revoke(stream)`,
    put: `undefined`,
    test: 'plugins/withdrawal.test',
    title: 'a stream ends with the key'
  },
  {
    what: `events: any number of streams of a user`,
    file: 'src/changes/hub.ts',
    find: `streams.size >= this.#perOwnerMax`,
    put: `false`,
    test: STREAMS,
    title: 'of connections that were lost lock nobody out'
  },
  {
    what: `events: any number of streams`,
    file: 'plugins/streams.ts',
    find: `hub.isFull`,
    put: `false`,
    test: STREAMS,
    title: BOUNDED
  },
  {
    what: `events: a gap that nobody is told of`,
    file: 'src/changes/stream.ts',
    find: `rows.every(({ seq }, i) => seq === last + 1 + i)`,
    put: `true`,
    test: EVENTS,
    title: GAPS
  },
  {
    what: `events: an end that is gone and nobody is told of`,
    file: 'src/changes/stream.ts',
    find: `last >= head`,
    put: `true`,
    test: EVENTS,
    title: GAPS
  },
  {
    what: `events: any number of missed changes`,
    file: 'src/changes/stream.ts',
    find: `seq - last <= MOST_MISSED`,
    put: `true`,
    test: EVENTS,
    title: 'whoever missed more than 1,000 changes'
  },
  {
    what: `events: a number that is not reached yet`,
    file: 'src/changes/stream.ts',
    find: `last <= seq &&`,
    put: ``,
    test: EVENTS,
    title: GAPS
  },
  {
    what: `events: a client that has gone silences the user`,
    file: 'plugins/streams.ts',
    find: `if (!stream.stopped) throw`,
    put: `if (true) throw`,
    test: STREAMS,
    title: 'of clients that leave before they begin'
  },
  {
    what: `events: a stream whose feed is gone goes on`,
    file: 'src/changes/stream.ts',
    find: `!(await store.isCurrent(owner, feed, wakeUp.deadline))`,
    put: `false`,
    test: STREAMS,
    title: 'whose feed is deleted end'
  },
  {
    what: `events: changes that are never swept`,
    file: 'src/db/system-tables.ts',
    find: `...retentionPolicies('changes', over)`,
    put: ``,
    test: EVENTS,
    title: SWEPT
  },
  {
    what: `events: feeds that are never swept`,
    file: 'src/db/system-tables.ts',
    find: `...retentionPolicies('feeds', over)`,
    put: ``,
    test: EVENTS,
    title: SWEPT
  },
  {
    what: 'beyond isolation: a write with a later number than its feed is not waited for',
    file: 'src/changes/feed.ts',
    find: 'startedBy: UNMARKED',
    put: 'startedBy: sql`pg_current_xact_id()`',
    test: STREAMS,
    title: 'begin when a write is over that began while the feed was made',
    server: true
  },
  {
    what: 'beyond isolation: answers are kept for an hour',
    file: 'src/db/tables.ts',
    find: `interval '24 hours'`,
    put: `interval '1 hour'`,
    test: 'routes/idempotency.test',
    title: 'a key is good for 24 hours'
  },
  {
    what: 'beyond isolation: a cursor that is not bound to the last filter',
    file: 'src/resource/cursor.ts',
    find: '...filters, id, text])',
    put: '...filters.slice(0, -1), id, text])',
    test: ENGINE,
    title: CURSORS
  },
  {
    what: 'beyond isolation: deletes of a batch counted with its updates',
    file: 'src/resource/batch.ts',
    find: `pointer: \`/delete/\${i}\``,
    put: `pointer: \`/delete/\${updated.length + i}\``,
    test: 'routes/batch.test',
    title: 'a batch creates, updates and deletes'
  },
  {
    what: 'beyond isolation: a document of one row that keeps its line breaks',
    file: 'src/db/json.ts',
    find: `text.replaceAll('\\n', ' ')`,
    put: 'text',
    test: 'src/db/json.test',
    title: 'PostgreSQL and Node write the same JSON of a row'
  },
  {
    what: 'beyond isolation: texts of an array that keep the backslashes of its literal',
    file: 'src/db/json.ts',
    find: `inQuotes.replace(/\\\\(.)/gs, '$1')`,
    put: 'inQuotes',
    test: 'src/db/json.test',
    title: 'PostgreSQL and Node write the same JSON of a row'
  },
  {
    what: 'beyond isolation: a statement that is wrong on every connection is sent again and again',
    file: 'src/db/retries.ts',
    find: 'if (this.#refusedBy.has(slot)) return true',
    put: '',
    test: 'plugins/problems.test',
    title: 'a statement that every connection refuses is a 500'
  },
  {
    what: 'beyond isolation: a transaction that holds up writes of others behind one of its owner',
    file: 'src/db/lane.ts',
    find: "isBehind !== undefined && kind === 'transaction'",
    put: 'false',
    test: 'src/db/pool.test',
    title: SHARE
  },
  {
    what: 'beyond isolation: a write that waits for another of its owner, before those of others',
    file: 'src/db/lane.ts',
    find: "(kind === 'write' && inFlight === 0 &&",
    put: "(kind === 'write' &&",
    test: 'src/db/pool.test',
    title: SHARE
  },
  {
    what: 'beyond isolation: a write that overtakes an earlier one of its owner, which is behind others',
    file: 'src/db/lane.ts',
    find: "isBehind && kind === 'write'",
    put: 'false',
    test: 'src/db/pool.test',
    title: SHARE
  },
  {
    what: 'beyond isolation: whatever is not supported is taken for a stale plan',
    file: 'src/db/errors.ts',
    find: 'return signature === STALE_RESULT',
    put: `return signature.startsWith('0A000')`,
    test: 'src/db/errors.test',
    title: 'only what one connection alone refuses is stale'
  },
  {
    what: 'beyond isolation: a deadlock is an error of ours',
    file: 'src/db/errors.ts',
    find: '28|3D|3F|40|53',
    put: '28|3D|3F|53',
    test: 'src/db/errors.test',
    title: 'an error is classified by the code'
  },
  {
    what: 'beyond isolation: readiness does not look at the right to delete',
    file: 'src/db/readiness.ts',
    find: "and has_table_privilege(name, 'delete')",
    put: '',
    test: ROW_SECURITY,
    title: 'readiness tells of each right that the role lacks'
  },
  {
    what: 'beyond isolation: hosts that begin like the loopback are it',
    file: 'src/config/rules.ts',
    find: '|\\[::1\\])$/',
    put: '|\\[::1\\])/',
    test: 'src/config/config.test',
    title: 'published keys'
  },
  {
    what: 'beyond isolation: IPv6 counts by /72',
    file: 'src/limits/address.ts',
    find: 'IPV6_PREFIX_BITS = 64',
    put: 'IPV6_PREFIX_BITS = 72',
    test: 'src/limits/tiers.test',
    title: 'IPv6 counts by /64'
  },
  {
    what: 'beyond isolation: an offset of 75 minutes',
    file: 'src/http/formats.ts',
    find: '2[0-3]):[0-5]\\d)$/',
    put: '2[0-3]):\\d\\d)$/',
    test: 'src/http/validation.test',
    title: 'a date-time is within the bounds'
  },
  {
    what: 'beyond isolation: segments that are not canonical',
    file: 'src/auth/token.ts',
    find: "if (bytes.toString('base64url') !== segment) return undefined",
    put: '',
    test: 'src/auth/forgeries.test',
    title: 'what is not JSON in strict UTF-8'
  },
  {
    what: 'beyond isolation: a silent connection is waited for',
    file: 'src/db/watchdog.ts',
    find: 'else this.#onTimeout()',
    put: 'else setTimeout(this.#check, WATCHDOG_CHECK_MS)',
    test: CONNECTION,
    title: 'a connection that owes an answer for too long'
  },
  {
    what: 'references: a plain foreign key',
    file: 'src/db/tables.ts',
    find: 'columns: [userId, own], foreignColumns: [target.userId, target.id]',
    put: 'columns: [own], foreignColumns: [target.id]',
    also: [
      { find: '  uniqueIndex,\n', put: '  unique,\n  uniqueIndex,\n' },
      { find: '    primaryKey({', put: '    unique().on(indexed.id),\n    primaryKey({' }
    ],
    test: FOLDERS,
    title: 'is a row of the same user'
  },
  {
    what: 'references: a unique index without the owner',
    file: 'src/db/tables.ts',
    find: '.on(columns.userId as Indexed, ...parts)',
    put: '.on(...(parts as [Indexed]))',
    test: FOLDERS,
    title: 'are unique for each user'
  },
  {
    what: 'references: a violation by its message',
    file: 'src/resource/violations.ts',
    find: `constraints.get(violatedConstraint(error) ?? '')`,
    put: `[...constraints.values()].find(({ kind }) =>
      String(error?.message).includes({ unique: 'unique', reference: 'foreign key', check: 'check' }[kind]))`,
    test: CLIPS,
    title: 'are unique for each user'
  },
  {
    what: 'references: a cascade that is not recorded',
    file: 'src/resource/cascade.ts',
    find: 'owned(table, { recorded: true }).prepare((own) => own.delete',
    put: 'owned(table).prepare((own) => own.delete',
    test: FOLDERS,
    title: 'when its row is deleted'
  },
  {
    what: 'references: a clear without a new version',
    file: 'src/resource/cascade.ts',
    find: '...nextVersion(table), ',
    put: '',
    test: CLIPS,
    title: 'when its row is deleted'
  },
  {
    what: 'references: a list that reads all of the rows',
    file: 'src/resource/filters.ts',
    find: "isIndexed: kind.name === 'reference'",
    put: 'isIndexed: false',
    test: 'src/resource/reference-plans.slow.test',
    title: 'rows are found by what they refer to'
  },
  {
    what: 'references: a digest of a create without one of its members',
    file: 'src/resource/inserts.ts',
    find: 'digestOf({ ...item, id })',
    put: `digestOf({ ...item, id, [Object.keys(item).filter((name) => name !== 'id').at(-1) ?? '']: undefined })`,
    test: FOLDERS,
    title: 'a create may choose its id'
  },
  {
    what: 'quotas: a count outside of the row that is locked',
    file: 'src/db/room.ts',
    find: `const room = sql\`update \${rowCounts} set \${sql.identifier(atMost.name)} = \${atMost} + 1 where \${counted} returning 1\``,
    put: `const own = eq(table.userId, owner)
  const room = sql\`select 1 where (select count(*) from \${table} where \${own}) < \${sql.placeholder(MAX)}\``,
    test: PAPERS,
    title: 'nobody has more than they may',
    server: true
  },
  {
    what: 'quotas: a recount without its lock',
    file: 'src/resource/row-count.ts',
    find: '      lock(owner, {}, transaction),\n',
    put: '      undefined,\n',
    test: 'src/resource/row-count.test',
    title: 'a recount waits for what is being created',
    server: true
  },
  ...CLIENT,
  ...['changes', 'feeds'].map((table) => ({
    what: `events: a policy of ${table} that lets everything through`,
    file: 'drizzle/0003_feeds.sql',
    find: `USING ("${table}"."user_id" = current_setting('rowkeeper.owner', true)) WITH CHECK ("${table}"."user_id" = current_setting('rowkeeper.owner', true))`,
    put: `USING (true) WITH CHECK (true)`,
    test: ROW_SECURITY,
    title: FEED
  }))
]
