import t from 'tap'
import { contractSuite } from '../../support/contract.ts'
import { foldersResource } from '../../support/papers.ts'

contractSuite(t, foldersResource, { runs: 15 })
