"""Training of the paper's networks: SGD on deep fully connected networks in float32, resumable to the last bit.

The protocol is that of Table 1 and Figure 2 (Section 5.2): SGD, batches of 64, cross-entropy. What the paper leaves
open is a named field of the ``Config``. ``step`` is the mathematics, ``program`` what is compiled, ``point`` where a
training stands, ``checkpoint`` how that is kept, ``group`` and ``run`` the loop around it.
"""

from ntk_eoc.networks import Network as Network
from ntk_eoc.training.config import Config as Config
from ntk_eoc.training.config import Inputs as Inputs
from ntk_eoc.training.config import Model as Model
from ntk_eoc.training.config import Seeds as Seeds
from ntk_eoc.training.config import Sgd as Sgd
from ntk_eoc.training.config import from_json as from_json
from ntk_eoc.training.config import to_json as to_json
from ntk_eoc.training.point import Curves as Curves
from ntk_eoc.training.run import Result as Result
from ntk_eoc.training.run import train as train
