"""An Optuna storage that forwards every call to another one, for classes that add something to each call."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from optuna.storages import BaseStorage

Method = TypeVar("Method", bound=Callable[..., Any])


def _forward(method: Method) -> Method:
    """Return a method that calls the method of the same name of the inner storage."""

    @functools.wraps(method)
    def forwarded(self: "ForwardingStorage", *args: Any, **kwargs: Any) -> Any:
        return self.call(getattr(self.inner, method.__name__), *args, **kwargs)

    forwarded.__isabstractmethod__ = False  # type: ignore[attr-defined]  # which `wraps` has copied
    return forwarded  # type: ignore[return-value]


class ForwardingStorage(BaseStorage):
    """A storage that forwards every call to another one. Subclasses override `call`.

    The methods of `BaseStorage` that are not listed here call those that are.

    Args:
        inner: The `optuna.storages.BaseStorage` that receives the calls.
    """

    def __init__(self, inner: BaseStorage) -> None:
        self.inner = inner

    def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a method of the inner storage."""
        return method(*args, **kwargs)

    create_new_study = _forward(BaseStorage.create_new_study)
    delete_study = _forward(BaseStorage.delete_study)
    set_study_user_attr = _forward(BaseStorage.set_study_user_attr)
    set_study_system_attr = _forward(BaseStorage.set_study_system_attr)
    get_study_id_from_name = _forward(BaseStorage.get_study_id_from_name)
    get_study_name_from_id = _forward(BaseStorage.get_study_name_from_id)
    get_study_directions = _forward(BaseStorage.get_study_directions)
    get_study_user_attrs = _forward(BaseStorage.get_study_user_attrs)
    get_study_system_attrs = _forward(BaseStorage.get_study_system_attrs)
    get_all_studies = _forward(BaseStorage.get_all_studies)
    create_new_trial = _forward(BaseStorage.create_new_trial)
    set_trial_param = _forward(BaseStorage.set_trial_param)
    set_trial_state_values = _forward(BaseStorage.set_trial_state_values)
    set_trial_intermediate_value = _forward(BaseStorage.set_trial_intermediate_value)
    set_trial_user_attr = _forward(BaseStorage.set_trial_user_attr)
    set_trial_system_attr = _forward(BaseStorage.set_trial_system_attr)
    get_trial = _forward(BaseStorage.get_trial)
    get_all_trials = _forward(BaseStorage.get_all_trials)
    get_trial_id_from_study_id_trial_number = _forward(BaseStorage.get_trial_id_from_study_id_trial_number)
    remove_session = _forward(BaseStorage.remove_session)
