import { randomUUID } from 'node:crypto'
import { type TSchema, Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import {
  type AnyPgColumn,
  bigint,
  bigserial,
  boolean,
  char,
  customType,
  date,
  doublePrecision,
  integer,
  json,
  jsonb,
  numeric,
  type PgColumnBuilderBase,
  pgEnum,
  pgSchema,
  pgTable,
  primaryKey,
  real,
  serial,
  smallint,
  text,
  time,
  timestamp,
  uuid,
  varchar
} from 'drizzle-orm/pg-core'
import type { FastifyPluginAsync } from 'fastify'
import t, { type Test } from 'tap'
import { ConfigError } from '../../../src/config/error.ts'
import { dateTime, ownedTable, ownerId, policyOf } from '../../../src/db/tables.ts'
import type { Keywords } from '../../../src/resource/kind.ts'
import {
  after,
  atLeast,
  before,
  contains,
  equals,
  has,
  isNull,
  oneOf,
  resource
} from '../../../src/resource/resource.ts'
import type { ResourceTable } from '../../../src/resource/table.ts'
import { buildAlone } from '../../support/app.ts'
import { declare, faultsOf } from '../../support/untyped.ts'

const things = (columns: Record<string, PgColumnBuilderBase>) => ownedTable('things', columns) as ResourceTable

/** Expects that a member `it` of this column and schema is refused for this reason, or is not. */
function expectMember(t: Test, column: PgColumnBuilderBase, schema: TSchema, ...reasons: string[]) {
  const faults = faultsOf(things({ it: column }), { members: { it: schema } })
  const what = `${JSON.stringify(schema)} for a ${column.constructor.name}`
  t.same(
    faults,
    reasons.map((reason) => `The resource "thing": The member "it" ${reason}.`),
    what
  )
}

/** The schema of the member `it` in the body of a create. */
const created = (column: PgColumnBuilderBase, schema: TSchema): Keywords =>
  declare(things({ it: column }), { members: { it: schema } }).schemas.create.properties.it

const state = pgEnum('state', ['on', 'off'])
const short = Type.String({ maxLength: 10 })
const unknown = (keywords: Keywords) => Type.Unsafe(keywords)

t.test('a member has a column, a schema of its type, and a bound (issue 18)', async (t) => {
  const unbounded = (bound: string) => `needs ${bound}, because nothing unbounded can be declared`
  const typeFault = (given: string, held: string) =>
    `has a schema of type ${given}, and its column holds the type ${held}`
  for (const [column, schema, ...reasons] of [
    [text(), short],
    [text(), Type.String(), unbounded('maxLength')],
    [text(), Type.Integer(), typeFault('integer', 'string')],
    [varchar(), Type.String(), unbounded('maxLength')],
    [varchar({ length: 5 }), Type.String()],
    [varchar({ length: 5 }), short, 'has the maxLength 10, and its column the maxLength 5'],
    [boolean(), Type.String(), typeFault('string', 'boolean')],
    [boolean(), Type.Literal(true)],
    [integer(), Type.Integer()],
    [integer(), Type.Number(), typeFault('number', 'integer')],
    [
      integer(),
      Type.Integer({ minimum: -(2 ** 31) - 1 }),
      'has the minimum -2147483649, and its column the minimum -2147483648'
    ],
    [
      integer(),
      Type.Integer({ maximum: 2 ** 31 }),
      'has the maximum 2147483648, and its column the maximum 2147483647'
    ],
    [smallint(), Type.Integer({ maximum: 32_768 }), 'has the maximum 32768, and its column the maximum 32767'],
    [
      bigint({ mode: 'number' }),
      Type.Integer({ maximum: 2 ** 53 }),
      'has the maximum 9007199254740992, and its column the maximum 9007199254740991'
    ],
    [doublePrecision(), Type.Number()],
    [doublePrecision(), Type.Integer()],
    [numeric({ precision: 5, scale: 2 }), Type.String()],
    [numeric(), Type.String(), unbounded('maxLength')],
    [numeric(), Type.String({ maxLength: 1001 }), 'has the maxLength 1001, and its column the maxLength 1000'],
    [date({ mode: 'string' }), Type.String()],
    [dateTime('it'), Type.String()],
    [uuid(), Type.String({ format: 'uuid' })],
    [state(), Type.Enum({ On: 'on', Off: 'off' })],
    [text().array(), Type.Array(short, { maxItems: 5 })],
    [text().array(), Type.Array(short), unbounded('maxItems')],
    [text().array(), Type.Array(Type.String(), { maxItems: 5 }), `has items: each ${unbounded('maxLength')}`],
    [text().array(), Type.Array(Type.Integer(), { maxItems: 5 }), `has items: each ${typeFault('integer', 'string')}`],
    [text().array(), Type.Tuple([short]), unbounded('maxItems').replace(/.*/, 'needs one schema for its items')],
    [text().array(), Type.Tuple([], { maxItems: 1 }), 'needs one schema for its items'],
    [text().array(), Type.String(), typeFault('string', 'array')],
    [json(), Type.Unknown({ maxBytes: 100, maxDepth: 5 })],
    [json(), Type.Unknown(), unbounded('maxBytes'), unbounded('maxDepth')],
    [json(), Type.Unknown({ maxBytes: 100, maxDepth: 101 }), 'has the maxDepth 101, and the most is 100']
  ] as [PgColumnBuilderBase, TSchema, ...string[]][]) {
    expectMember(t, column, schema, ...reasons)
  }
})

t.test('a value that a member can have is one that its column can have (issue 18)', async (t) => {
  const lacks = (value: string) => `has the value ${value}, which its column does not have`
  const of = (...values: (string | number)[]) => Type.Union(values.map((value) => Type.Literal(value)))
  for (const [column, schema, ...reasons] of [
    [text(), of('a', 'b')],
    [text(), of('a', 1), 'has a schema of type none, and its column holds the type string', lacks('1')],
    [text(), unknown({ enum: ['a'] }), 'has a schema of type none, and its column holds the type string'],
    [text(), unknown({ type: 'string', enum: ['a', 1] }), lacks('1')],
    [text(), Type.Literal('\u0000'), lacks('"\\u0000"')],
    [text({ enum: ['a', 'b'] }), of('a', 'c'), lacks('"c"')],
    [text({ enum: ['a', 'b'] }), Type.Literal('c'), lacks('"c"')],
    [varchar({ length: 3, enum: ['a', 'b'] }), of('a', 'c'), lacks('"c"')],
    [varchar({ length: 3 }), of('abc', 'abcd'), lacks('"abcd"')],
    [state(), of('on', 'of'), lacks('"of"')],
    [state(), Type.String()],
    [integer(), of(1, 2)],
    [integer(), of(1, 2 ** 31), lacks('2147483648')],
    [integer(), of(1, 1.5), 'has a schema of type number, and its column holds the type integer', lacks('1.5')],
    [doublePrecision(), of(1, 1.5)],
    [text({ enum: ['a', 'b'] }).array(), Type.Array(of('a', 'b'), { maxItems: 2 })],
    [
      text({ enum: ['a', 'b'] }).array(),
      Type.Array(Type.Literal('c'), { maxItems: 2 }),
      `has items: each ${lacks('"c"')}`
    ],
    [json(), of('a', 1)]
  ] as [PgColumnBuilderBase, TSchema, ...string[]][]) {
    expectMember(t, column, schema, ...reasons)
  }
  t.match(created(text().notNull(), of('a', 'b')), { type: 'string', enum: ['a', 'b'], examples: ['a'] })
  t.match(created(text({ enum: ['a', 'b'] }), Type.Literal('a')), { type: ['string', 'null'], enum: ['a', null] })
  t.match(created(state(), Type.String()), { type: ['string', 'null'], enum: ['on', 'off', null] })
  t.match(created(json(), of('a', 1)), { anyOf: [{ enum: ['a', 1] }, { type: 'null' }] })
  t.match(created(json().notNull(), Type.Literal('a')), { type: 'string', enum: ['a'] })
})

t.test('a schema says nothing that its column says, and stands for itself (issue 18)', async (t) => {
  const none = 'has a schema of type none, and its column holds the type string'
  const invalid = (why: string) => `has a schema that is not valid: ${why}`
  for (const [column, schema, ...reasons] of [
    [text(), Type.Any(), none],
    [text(), Type.Unknown(), none],
    [text(), unknown({}), none],
    [text(), unknown({ anyOf: [] }), none],
    [text(), unknown({ anyOf: [null] }), none],
    [text(), Type.Union([short, Type.String({ maxLength: 5 })]), none],
    [text(), Type.Union([short, Type.Null()]), none],
    [text(), unknown({ type: ['string', 'null'], maxLength: 5 }), none.replace('none', 'string,null')],
    [
      text().notNull(),
      Type.Optional(short),
      'is wrapped in Type.Optional, and its column says whether a create needs it'
    ],
    [text(), Type.Readonly(short)],
    [
      text().notNull(),
      Type.String({ maxLength: 5, nullable: true }),
      'has a schema with the keyword nullable, and a member may be null if its column may'
    ],
    [
      text().array(),
      Type.Array(Type.String({ maxLength: 5, nullable: true }), { maxItems: 5 }),
      'has items: each has a schema with the keyword nullable, and a member may be null if its column may'
    ],
    [
      text(),
      Type.String({ maxLength: 5, default: 'x' }),
      'has a schema with the keyword default, and the default of a member is that of its column'
    ],
    [
      json(),
      Type.Recursive((self) => Type.Array(self), { maxBytes: 9, maxDepth: 9, $id: 'Tree' }),
      'has a schema with $id, and a schema must not need another one'
    ],
    [
      json(),
      Type.Object({ a: Type.Array(Type.Ref('Tree')) }, { maxBytes: 9, maxDepth: 9 }),
      'has a schema with $ref, and a schema must not need another one'
    ],
    [
      json(),
      Type.Object(
        { $ref: Type.Null() },
        { maxBytes: 9, maxDepth: 9, examples: [{ $ref: 'a' }], additionalProperties: false }
      )
    ],
    [
      text(),
      Type.String({ maxLength: 5, pattern: '\\-' }),
      invalid('Invalid regular expression: /\\-/u: Invalid escape')
    ],
    [
      text(),
      Type.String({ maxLength: 5, format: 'phone' }),
      invalid('unknown format "phone" ignored in schema at path "#"')
    ],
    [text(), Type.String({ maxLength: -1 }), invalid('schema is invalid: data/maxLength must be >= 0')],
    [text(), Type.String({ maxLength: 5, unit: 'm' }), invalid('strict mode: unknown keyword: "unit"')],
    [json(), unknown({ enum: [] }), invalid('schema is invalid: data/enum must NOT have fewer than 1 items')],
    [
      date({ mode: 'string' }),
      Type.String({ format: 'date-time' }),
      'has the format date-time, and its column holds the format date'
    ],
    [text(), Type.String({ maxLength: 5, format: 'email', examples: ['a@b.c'] })]
  ] as [PgColumnBuilderBase, TSchema, ...string[]][]) {
    expectMember(t, column, schema, ...reasons)
  }
})

t.test('what a column or a kind demands is kept beside what the schema says (issue 18)', async (t) => {
  const strict = created(
    text(),
    Type.Unsafe({ type: 'string', maxLength: 5, format: 'email', allOf: [{ minLength: 2 }] })
  )
  t.match(strict, { format: 'email', allOf: [{ minLength: 2 }, { format: 'text' }] })
  t.match(created(uuid(), Type.String({ pattern: '^0' })), { pattern: '^0', allOf: [{ pattern: String }] })
  t.match(created(integer(), Type.Integer({ minimum: 0 })), { minimum: 0, maximum: 2 ** 31 - 1 })
  const within = created(integer().notNull(), Type.Integer({ exclusiveMinimum: 0, exclusiveMaximum: 2 ** 40 }))
  t.match(within, { minimum: undefined, exclusiveMinimum: 0, maximum: 2 ** 31 - 1 }, 'one bound, if it is narrower')
  t.match(created(varchar({ length: 5 }), Type.String({ minLength: 1 })), {
    minLength: 1,
    maxLength: 5,
    format: 'text'
  })
  const items = { type: 'string', maxLength: 10, format: 'text' }
  t.match(created(text().array(), Type.Array(short, { maxItems: 5 })), { type: ['array', 'null'], items })
})

t.test('a decimal number has the digits of its column, as PostgreSQL writes them (issue 18)', async (t) => {
  for (const [precision, scale, good, bad] of [
    [3, undefined, ['0', '-1', '999', '-999'], ['1000', '1.0', '01', '-0', '']],
    [3, 0, ['0', '999'], ['1000', '1.0']],
    [3, 1, ['0.0', '99.9', '-99.9'], ['100.0', '1', '-0.0', '1.00']],
    [2, 2, ['0.00', '0.99', '-0.99'], ['1.00', '.99', '-0.00']]
  ] as const) {
    const { pattern } = created(numeric({ precision, ...(scale !== undefined && { scale }) }).notNull(), Type.String())
    const isValid = new RegExp(String(pattern), 'u')
    for (const number of good) t.match(number, isValid, `${number} of numeric(${precision}, ${scale})`)
    for (const number of bad) t.notMatch(number, isValid, `${number} of numeric(${precision}, ${scale})`)
  }
})

t.test('the largest value of a member fits into a request (issue 18)', async (t) => {
  const most = 128 * 1024 - 8192
  const beyond = (bytes: number) => `can have ${bytes} bytes of JSON, and the most is ${most}`
  for (const [column, schema, ...reasons] of [
    [text(), Type.String({ maxLength: most })],
    [text(), Type.String({ maxLength: most + 1 }), beyond(most + 1)],
    [json(), Type.Unknown({ maxBytes: 10 ** 6, maxDepth: 5 }), beyond(10 ** 6)],
    [json(), Type.Array(Type.String({ maxLength: most }), { maxItems: 5, maxBytes: 100, maxDepth: 1 })],
    [json(), Type.Tuple([], { maxBytes: 100, maxDepth: 1 })],
    [text().array(), Type.Array(Type.String({ maxLength: 999 }), { maxItems: 200 }), beyond(200_000)],
    [integer().array(), Type.Array(Type.Integer(), { maxItems: 5000 }), beyond(205_000)],
    [integer().array(), Type.Array(Type.Literal(1), { maxItems: 5000 })],
    [integer().array(), Type.Array(Type.Literal(1), { maxItems: 5001 }), 'has the maxItems 5001, and the most is 5000']
  ] as [PgColumnBuilderBase, TSchema, ...string[]][]) {
    expectMember(t, column, schema, ...reasons)
  }
  // Updates would make an item larger than any request, and a page of 100 hundreds of times that.
  const half = Type.String({ maxLength: most / 2 })
  const table = things({ one: text(), two: text(), three: boolean() })
  t.same(faultsOf(table, { members: { one: half, two: half } }), [])
  t.same(faultsOf(table, { members: { one: half, two: half, three: Type.Boolean() } }), [
    `The resource "thing": An item can have ${most + 40} bytes of JSON, and the most is ${most}.`
  ])
})

t.test('a column of a type that would change values is no member, and there is a remedy (issue 18)', async (t) => {
  const other = pgSchema('other').enum('state', ['on'])
  const custom = customType<{ data: string }>({ dataType: () => 'citext' })
  const dateTimes = 'use dateTime(): another timestamp has no time zone, or rounds what it is given'
  const elements = 'an array is of texts or numbers'
  for (const [column, type, remedy] of [
    [
      jsonb(),
      'jsonb',
      'use json(): jsonb writes a number such as 1e308 with 309 digits, so no bound on its size holds'
    ],
    [bigint({ mode: 'bigint' }), 'bigint', "use bigint(name, { mode: 'number' })"],
    [real(), 'real', 'use doublePrecision(): real rounds what it is given'],
    [numeric({ mode: 'number' }), 'numeric', 'use numeric() without a mode'],
    [numeric({ mode: 'bigint' }), 'numeric', 'use numeric() without a mode'],
    [numeric({ precision: 2, scale: 3 }), 'numeric(2, 3)', 'its scale must be from 0 to its precision'],
    [numeric({ precision: 2, scale: -1 }), 'numeric(2, -1)', 'its scale must be from 0 to its precision'],
    [char({ length: 3 }), 'char(3)', 'use varchar(): char fills up what it is given'],
    [date({ mode: 'date' }), 'date', "use date(name, { mode: 'string' })"],
    [timestamp({ withTimezone: true }), 'timestamp with time zone', dateTimes],
    [timestamp({ mode: 'string' }), 'timestamp', dateTimes],
    [timestamp({ mode: 'string', withTimezone: true, precision: 3 }), 'timestamp(3) with time zone', dateTimes],
    [time(), 'time', 'no member can'],
    [serial(), 'serial', 'no member can'],
    [bigserial({ mode: 'number' }), 'bigserial', 'no member can'],
    [custom(), 'citext', 'no member can'],
    [other(), 'state', 'its enum is in the schema other'],
    [date({ mode: 'string' }).array(), 'date[]', elements],
    [text().array().array(), 'text[][]', elements]
  ] as [PgColumnBuilderBase, string, string][]) {
    expectMember(t, column, short, `cannot have a column of type ${type}: ${remedy}`)
  }
  for (const column of [
    integer().generatedAlwaysAsIdentity(),
    integer().generatedByDefaultAsIdentity(),
    integer().generatedAlwaysAs(sql`1`)
  ]) {
    expectMember(t, column, Type.Integer({ readOnly: true }), 'has a column that PostgreSQL generates')
  }
  // No member, and PostgreSQL fills them by itself.
  const filled = {
    number: serial(),
    counted: integer().generatedAlwaysAsIdentity(),
    one: integer().generatedAlwaysAs(sql`1`)
  }
  t.same(faultsOf(things(filled), {}), [])
})

t.test('a default fits its member (issue 18)', async (t) => {
  const inSql = 'may be null and has a default in SQL: a create could not tell null from absent'
  const byServer = Type.Integer({ readOnly: true })
  for (const [column, schema, ...reasons] of [
    [integer().notNull().default(sql`1`), Type.Integer()],
    [integer().default(sql`1`), Type.Integer(), inSql],
    [integer().notNull(), byServer, 'is set by the server only, so its column needs a default'],
    [integer().notNull().default(1), byServer],
    [integer(), byServer],
    [integer().default(1), Type.Integer({ minimum: 2 }), 'has the default 1, which its schema refuses'],
    [
      integer()
        .notNull()
        .$defaultFn(() => 1.5),
      Type.Integer(),
      'has the default 1.5, which its schema refuses'
    ],
    [
      text()
        .notNull()
        .default(null as never),
      short,
      'has the default null, which its schema refuses'
    ],
    [text().$defaultFn(() => sql`now()`), short, 'has a $defaultFn that returns SQL: give that to default()'],
    [
      dateTime('it').default('2030-01-01 00:00'),
      Type.String(),
      'has the default "2030-01-01 00:00", which its schema refuses'
    ],
    [numeric({ precision: 5, scale: 2 }).default('0'), Type.String(), 'has the default "0", which its schema refuses']
  ] as [PgColumnBuilderBase, TSchema, ...string[]][]) {
    expectMember(t, column, schema, ...reasons)
  }

  const fallbackOf = (column: PgColumnBuilderBase, schema: TSchema) =>
    declare(things({ it: column }), { members: { it: schema } }).members[0]?.fallback()
  const document = Type.Unknown({ maxBytes: 9, maxDepth: 1 })
  t.equal(fallbackOf(json().default(null), document), null, 'no document is what null is')
  t.equal(fallbackOf(json().notNull().default(null), document), 'null', 'null is a document where a column needs one')
  t.equal(fallbackOf(json().notNull().default({ a: 1 }), document), '{"a":1}')
  t.equal(
    fallbackOf(
      text().$defaultFn(() => null as never),
      short
    ),
    null
  )
  t.equal(fallbackOf(dateTime('it').default('2030-01-01T00:00:00+01:00'), Type.String()), '2029-12-31T23:00:00Z')
  t.equal(fallbackOf(integer().notNull().default(sql`1`), Type.Integer()), null)
})

t.test('a table is an ownedTable whose columns are members, or can do without a value (issue 18)', async (t) => {
  const columns = { userId: ownerId('user_id').notNull(), id: uuid('id').notNull() }
  const unsafe = 'The table "things" is no ownedTable.'
  const keyed = pgTable('things', columns, (table) => [primaryKey({ columns: [table.userId, table.id] })])
  const guarded = pgTable('things', columns, (table) => [policyOf('things', table.userId)])
  const both = pgTable('things', columns, (table) => [
    primaryKey({ columns: [table.userId, table.id] }),
    policyOf('things', table.userId)
  ])
  for (const [what, table, ...faults] of [
    ['a plain table', pgTable('things', columns), unsafe],
    ['without a policy', keyed, unsafe],
    ['without a key', guarded, unsafe],
    ['without a history', both, unsafe],
    ['with another id', things({ id: text('id') }), unsafe],
    [
      'a column without a value',
      things({ it: text().notNull() }),
      'The column "it" is not null and has no default, so it must be a member.'
    ],
    [
      'with a name that every object has',
      things({ constructor: text().notNull() }),
      'The column "constructor" is not null and has no default, so it must be a member.'
    ],
    [
      // Drizzle would make one value when the statement is prepared, and every row of every user would have it.
      'with a default of JavaScript',
      things({ it: uuid().notNull().$defaultFn(randomUUID) }),
      'The column "it" has a $defaultFn, so it must be a member.'
    ],
    [
      'with $onUpdate',
      things({ it: text().$onUpdate(randomUUID) }),
      'The column "it" has $onUpdate, which is not supported.'
    ],
    [
      'with the owner by another name',
      things({ who: text('user_id') }),
      'The column "who" has the SQL name of another column, user_id.'
    ],
    [
      // The error for a second one would tell a user what the rows of others have.
      'with a unique column',
      things({ it: text().unique() }),
      'The column "it" must be unique among the rows of all users: use the unique of ownedTable.'
    ],
    [
      'with a second key',
      things({ it: text().primaryKey() }),
      'The column "it" must be unique among the rows of all users: use the unique of ownedTable.',
      'The column "it" is not null and has no default, so it must be a member.'
    ],
    [
      // PostgreSQL exempts the checks of foreign keys from policies.
      'with a plain foreign key',
      things({ it: uuid().references((): AnyPgColumn => keyed.id) }),
      'The column "it" may refer to the rows of other users: use reference().'
    ],
    [
      'with a name that is no word',
      ownedTable("thing's", {}),
      'The table "thing\'s" needs a name in snake case, such as bank_accounts.'
    ]
  ] as [string, ResourceTable, ...string[]][]) {
    t.same(
      faultsOf(table, {}),
      faults.map((fault) => `The resource "thing": ${fault}`),
      what
    )
  }
})

t.test('names are names, and those that are given stay what they are (issue 18)', async (t) => {
  const table = things({ it: text(), constructor: text(), toString: text() })
  const another = 'needs another name: letters and digits, such as dueAt'
  const members = (names: string[]) => Object.fromEntries(names.map((name) => [name, short]))
  t.same(
    faultsOf(table, {
      members: members(['it', 'due at', 'Due', 'constructor', 'toString', '__proto__', 'its', 'valueOf'])
    }),
    [
      `The member "due at" ${another}.`,
      `The member "Due" ${another}.`,
      `The member "constructor" ${another}.`,
      `The member "toString" ${another}.`,
      `The member "__proto__" ${another}.`,
      'The member "its" has no column of that name.',
      `The member "valueOf" ${another}.`
    ].map((fault) => `The resource "thing": ${fault}`)
  )
  t.same(
    faultsOf(table, { members: members(['userId', 'id', 'createdAt', 'updatedAt', 'version']) }),
    [
      'The member "userId" is the owner, who never leaves the server.',
      ...['id', 'createdAt', 'updatedAt', 'version'].map(
        (name) => `The member "${name}" is there already: every item has it.`
      )
    ].map((fault) => `The resource "thing": ${fault}`)
  )
  for (const name of ['Thing', 'a thing', '', 'resource', 'id', 'version', 'constructor', "thing's"]) {
    t.same(faultsOf(table, { name }), [
      `The resource "${name}": The name "${name}" must be another: letters and digits, such as bankAccount.`
    ])
  }
})

t.test('filters and sorts are of members that fit (issue 18)', async (t) => {
  const table = things({
    label: text().notNull(),
    note: text(),
    flag: boolean(),
    count: integer(),
    tags: text().array(),
    settings: json(),
    day: date({ mode: 'string' }),
    price: numeric({ precision: 300 })
  })
  const members = {
    label: short,
    note: short,
    flag: Type.Boolean(),
    count: Type.Integer(),
    tags: Type.Array(short, { maxItems: 5 }),
    settings: Type.Unknown({ maxBytes: 9, maxDepth: 9 }),
    day: Type.String(),
    price: Type.String()
  }
  const nested = 'is an array or a document, which cannot be compared'
  const moment = 'is not a date or a date-time'
  const ordered = 'is not a number, a date or a date-time'
  for (const [filter, member, why] of [
    [equals('nothing'), 'nothing', 'is no member'],
    [equals('userId'), 'userId', 'is no member'],
    [oneOf('id'), 'id', 'is no member'],
    [equals('version'), 'version', 'is no member'],
    [equals('tags'), 'tags', nested],
    [oneOf('settings'), 'settings', nested],
    [contains('flag'), 'flag', 'is not a text'],
    [contains('label', 'count'), 'count', 'is not a text'],
    [has('note'), 'note', 'is not an array'],
    [isNull('label'), 'label', 'is never null'],
    [isNull('createdAt'), 'createdAt', 'is never null'],
    [before('note'), 'note', moment],
    [after('count'), 'count', moment],
    [atLeast('note'), 'note', ordered],
    [atLeast('flag'), 'flag', ordered]
  ] as const) {
    t.same(faultsOf(table, { members, filters: { it: filter } }), [
      `The resource "thing": The filter "it" does not fit: "${member}" ${why}.`
    ])
  }
  for (const name of ['limit', 'cursor', 'sort', 'count', 'due_before', 'Due', 'constructor', '__proto__']) {
    t.same(faultsOf(table, { members, filters: { [name]: equals('flag') } }), [
      `The resource "thing": The filter "${name}" needs another name: letters and digits, and none of limit, cursor, sort, count.`
    ])
  }
  for (const [sort, why] of [
    ['tags', 'is an array or a document'],
    ['settings', 'is an array or a document'],
    ['id', 'names no member'],
    ['userId', 'names no member'],
    ['version', 'names no member'],
    ['-label', 'names no member'],
    ['price', 'may have more than 200 characters']
  ]) {
    t.same(faultsOf(table, { members, sorts: [sort] }), [`The resource "thing": The sort "${sort}" ${why}.`])
  }
  const { sorts, filters } = declare(table, {
    members,
    filters: { it: contains('note', 'label'), day: before('day'), created: after('createdAt'), low: isNull('count') },
    sorts: ['label', 'label', 'createdAt']
  })
  t.same(
    sorts.map(({ name }) => name),
    ['createdAt', '-createdAt', 'label', '-label'],
    'each once, and the order of creation'
  )
  t.same(
    filters.map(({ name, operator, members }) => [name, operator, members]),
    [
      ['it', 'contains', ['note', 'label']],
      ['day', 'before', ['day']],
      ['created', 'after', ['createdAt']],
      ['low', 'isNull', ['count']]
    ]
  )
})

t.test('a cursor has room for the labels of a text, or for their start (issue 18)', async (t) => {
  for (const [length, bytes] of [
    [100, 400],
    [300, 800]
  ] as const) {
    const label = 'x'.repeat(length)
    const options = { members: { it: Type.Union([Type.Literal(label), Type.Literal('y')]) }, sorts: ['it'] }
    const { sorts, schemas } = declare(things({ it: text() }), options)
    const key = sorts.find(({ name }) => name === 'it')?.key
    t.equal(key?.maxBytes, bytes)
    t.equal(key?.write(label), label.slice(0, 200))
    t.ok(schemas.query.properties.cursor.maxLength > (bytes * 4) / 3)
  }
})

t.test('all faults of a declaration are told at once (issue 18)', async (t) => {
  const members = { it: Type.String(), other: short }
  t.equal(faultsOf(things({ it: text(), lost: text().notNull() }), { members, sorts: ['that'] }).length, 4)
})

t.test('a resource that no client can change is refused (issue 18)', async (t) => {
  const table = things({ it: text('it'), other: text('other') })
  const members = {
    it: Type.String({ maxLength: 9, readOnly: true }),
    other: Type.String({ maxLength: 9, createOnly: true })
  }
  t.throws(
    () => resource(table, { name: 'thing', members }),
    new ConfigError(['The resource "thing" needs a member that clients can change.'])
  )
})

t.test('a table that src/db/schema.ts does not export is refused at the start (issue 18)', async (t) => {
  const secrets = resource(ownedTable('secrets', { it: text('it') }), { name: 'secret', members: { it: short } })
  await t.rejects(
    buildAlone(t, {}, async (app) => {
      await app.register(secrets as FastifyPluginAsync)
    }),
    new ConfigError([
      'The export, the purge, the storage quota and readiness do not know the table "secrets": export it from schema.ts.'
    ])
  )
})
