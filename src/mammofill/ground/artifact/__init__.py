"""Artifacts: folders that describe themselves, are finished in one move, and never change afterwards.

While a stage works, its folder is called ``<name>.partial`` and holds ``plan.json``: what is being made, from what,
with which settings and seed. When the work is done, ``artifact.json`` is written last and the folder is renamed to
``<name>``. So a folder without the suffix is complete; and the same command again continues a partial folder, returns
a finished one, or refuses when the plan is no longer the same, naming each difference.
"""

from mammofill.ground.artifact.fingerprint import fingerprint_file as fingerprint_file
from mammofill.ground.artifact.fingerprint import fingerprint_from as fingerprint_from
from mammofill.ground.artifact.fingerprint import fingerprint_of as fingerprint_of
from mammofill.ground.artifact.finished import Artifact as Artifact
from mammofill.ground.artifact.finished import open_any as open_any
from mammofill.ground.artifact.finished import upstream as upstream
from mammofill.ground.artifact.layout import CHECKPOINT_NAME as CHECKPOINT_NAME
from mammofill.ground.artifact.layout import MANIFEST_NAME as MANIFEST_NAME
from mammofill.ground.artifact.layout import PARTIAL as PARTIAL
from mammofill.ground.artifact.layout import PLAN_NAME as PLAN_NAME
from mammofill.ground.artifact.layout import SCRATCH_NAME as SCRATCH_NAME
from mammofill.ground.artifact.layout import is_payload as is_payload
from mammofill.ground.artifact.layout import write_atomically as write_atomically
from mammofill.ground.artifact.lock import forget_lock as forget_lock
from mammofill.ground.artifact.lock import held as held
from mammofill.ground.artifact.lock import holder_of as holder_of
from mammofill.ground.artifact.manifest import CHOSEN as CHOSEN
from mammofill.ground.artifact.manifest import FORMAT_VERSION as FORMAT_VERSION
from mammofill.ground.artifact.manifest import InputRecord as InputRecord
from mammofill.ground.artifact.manifest import LearnedFrom as LearnedFrom
from mammofill.ground.artifact.manifest import Manifest as Manifest
from mammofill.ground.artifact.manifest import manifest_of as manifest_of
from mammofill.ground.artifact.manifest import read_manifest as read_manifest
from mammofill.ground.artifact.manifest import taught_by as taught_by
from mammofill.ground.artifact.plan import TAKEN_OVER as TAKEN_OVER
from mammofill.ground.artifact.plan import added as added
from mammofill.ground.artifact.plan import check_same_plan as check_same_plan
from mammofill.ground.artifact.plan import differences as differences
from mammofill.ground.artifact.plan import execution as execution
from mammofill.ground.artifact.plan import kind_of_device as kind_of_device
from mammofill.ground.artifact.plan import note_plan as note_plan
from mammofill.ground.artifact.plan import plain as plain
from mammofill.ground.artifact.plan import read_plan as read_plan
from mammofill.ground.artifact.plan import settings_of_plan as settings_of_plan
from mammofill.ground.artifact.verification import NO_VERIFY as NO_VERIFY
from mammofill.ground.artifact.verification import check_content as check_content
from mammofill.ground.artifact.verification import verifies as verifies
from mammofill.ground.artifact.verification import verify as verify
from mammofill.ground.artifact.work import Work as Work
from mammofill.ground.artifact.work import begin as begin
from mammofill.ground.artifact.work import check_place as check_place
from mammofill.ground.artifact.work import check_plan_is_there as check_plan_is_there
from mammofill.ground.artifact.work import discard as discard
from mammofill.ground.artifact.work import move_into_place as move_into_place
