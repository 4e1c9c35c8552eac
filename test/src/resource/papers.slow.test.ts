import t from 'tap'
import type { Body } from '../../contract/constraints.ts'
import { contractSuite } from '../../support/contract.ts'
import { foldersResource, papersResource } from '../../support/papers.ts'

/** Makes a paper end after its start, whatever the one is that it changes. */
function keepChecks({ startsAt, endsAt, ...rest }: Body): Body {
  if (startsAt === undefined && endsAt === undefined) return rest
  const given = { startsAt: startsAt ?? null, endsAt: endsAt ?? null }
  const isOrdered = !(Date.parse(String(startsAt)) > Date.parse(String(endsAt)))
  return { ...rest, ...(isOrdered ? given : { startsAt: given.endsAt, endsAt: given.startsAt }) }
}

const broken = { endsAt: { startsAt: '2030-01-02T00:00:00Z', endsAt: '2030-01-01T23:59:59.999999Z' } }

contractSuite(t, papersResource, { parents: [foldersResource], keepChecks, broken, runs: 15 })
