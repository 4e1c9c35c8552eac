import { Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import { boolean, text } from 'drizzle-orm/pg-core'
import { reference, type Target } from '../../src/db/reference.ts'
import { dateTime, ownedTable } from '../../src/db/tables.ts'
import { contains, equals, isNull, resource } from '../../src/resource/resource.ts'

/** Folders, which may be in other folders. They are part of the databases of the tests only. */
export const folders = ownedTable(
  'folders',
  {
    name: text('name').notNull(),
    parentId: reference('parent_id', (): Target => folders, { onDelete: 'cascade' })
  },
  { unique: [{ members: ['name'], caseInsensitive: true }] }
)

/** Papers. Each is in a folder, with which it is deleted, and may have moved there from another one. */
export const papers = ownedTable(
  'papers',
  {
    folderId: reference('folder_id', () => folders, { onDelete: 'cascade' }).notNull(),
    movedFrom: reference('moved_from', () => folders, { onDelete: 'clear' }),
    title: text('title').notNull(),
    text: text('text'),
    pinned: boolean('pinned').notNull().default(false),
    startsAt: dateTime('starts_at'),
    endsAt: dateTime('ends_at')
  },
  {
    unique: [['folderId', 'title']],
    checks: { endsAt: ({ startsAt, endsAt }) => sql`${endsAt} >= ${startsAt}` }
  }
)

/** Clips from a paper. A paper with clips cannot be deleted. A clip can come after another one. */
export const clips = ownedTable(
  'clips',
  {
    paperId: reference('paper_id', () => papers).notNull(),
    label: text('label'),
    code: text('code'),
    after: reference('after_id', (): Target => clips, { onDelete: 'clear' })
  },
  { unique: [{ members: ['paperId', 'label'], nullsNotDistinct: true }, ['code']] }
)

export const foldersResource = resource(folders, {
  name: 'folder',
  members: { name: Type.String({ minLength: 1, maxLength: 200, examples: ['Garden'] }), parentId: Type.String() },
  filters: { parent: equals('parentId'), top: isNull('parentId'), q: contains('name') },
  sorts: ['name']
})

export const papersResource = resource(papers, {
  name: 'paper',
  members: {
    folderId: Type.String(),
    movedFrom: Type.String(),
    title: Type.String({ minLength: 1, maxLength: 200, examples: ['Water the plants'] }),
    text: Type.String({ maxLength: 10_000 }),
    pinned: Type.Boolean(),
    startsAt: Type.String({ format: 'date-time' }),
    endsAt: Type.String({ format: 'date-time' })
  },
  filters: {
    folder: equals('folderId'),
    moved: isNull('movedFrom'),
    pinned: equals('pinned'),
    q: contains('title', 'text')
  },
  sorts: ['updatedAt', 'title'],
  max: 5000
})

export const clipsResource = resource(clips, {
  name: 'clip',
  members: {
    paperId: Type.String(),
    label: Type.String({ maxLength: 400 }),
    code: Type.String({ maxLength: 20 }),
    after: Type.String()
  },
  filters: { paper: equals('paperId'), first: isNull('after') }
})
